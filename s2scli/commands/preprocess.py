"""`s2s preprocess`."""

from s2scli.commands.stage import bring_up_to_date
from s2scli.options import Force, Request, Workers, with_common_options


@with_common_options
def command(request: Request, workers: Workers = None, force: Force = False) -> None:
    """Tokenize the text, build the vocabularies, reverse the source and append EOS.

    Example: s2s preprocess -d demo --workers 4
    """
    project = request.project({"preprocess.workers": workers})
    bring_up_to_date(project, "preprocess", force=force)

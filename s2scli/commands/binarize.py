"""`s2s binarize`."""

from s2scli.commands.stage import bring_up_to_date
from s2scli.options import Force, Request, Workers, with_common_options


@with_common_options
def command(request: Request, workers: Workers = None, force: Force = False) -> None:
    """Turn tokens into memory-mapped shards of token ids.

    Example: s2s binarize -d demo --workers 4
    """
    project = request.project({"binarize.workers": workers})
    bring_up_to_date(project, "binarize", force=force)

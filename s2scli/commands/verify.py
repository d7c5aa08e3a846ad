"""`s2s verify`."""

from pipelines.wording import plural
from s2scli.console import print_json, print_lines
from s2scli.options import Json, Request, with_common_options


@with_common_options
def command(request: Request, as_json: Json = False) -> None:
    """Check every artifact against its recorded hash.

    Exit status 3 means that a file is missing or damaged.

    Example: s2s verify -d demo
    """
    from pipelines.errors import CorruptArtifactError
    from pipelines.project.verify import verify

    found = verify(request.project().layout)
    if as_json:
        print_json({"files": found.num_files, "problems": found.problems})
    else:
        print_lines([*found.problems, f"{plural(found.num_files, 'file')} checked"])
    if found.problems:
        raise CorruptArtifactError(
            f"{len(found.problems)} of {plural(found.num_files, 'file')} damaged",
            hint="s2s run STAGE --force makes a stage again",
        )

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

    result = verify(request.project().layout)
    if as_json:
        print_json({"files": result.num_files, "problems": result.problems})
    else:
        print_lines([*result.problems, f"{plural(result.num_files, 'file')} checked"])
    if result.problems:
        raise CorruptArtifactError(
            f"{len(result.problems)} of {plural(result.num_files, 'file')} damaged",
            hint="s2s run STAGE --force runs a stage again",
        )

"""`s2s verify`."""

from pathlib import Path

from s2scli.console import LogFormat, print_json, print_lines
from s2scli.options import (
    Dir,
    Format,
    Json,
    Quiet,
    Set,
    Verbose,
    open_project,
    start_logging,
)


def command(
    folder: Dir = Path(),
    overrides: Set = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    log_format: Format = LogFormat.TEXT,
) -> None:
    """Check every artifact against its recorded hash; exit status 3 names damage."""
    from pipelines.artifacts.verify import verify
    from pipelines.errors import CorruptArtifactError

    start_logging(quiet, verbose, log_format)
    project = open_project(folder, overrides)
    found = verify(project.layout)
    if as_json:
        print_json({"files": found.num_files, "problems": found.problems})
    else:
        print_lines([*found.problems, f"{found.num_files} files checked"])
    if found.problems:
        raise CorruptArtifactError(
            f"{len(found.problems)} of {found.num_files} files are damaged",
            hint="s2s run STAGE --force makes a stage again",
        )

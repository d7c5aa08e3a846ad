"""`s2s preprocess`."""

from pathlib import Path

from s2scli.commands.stage import bring_up_to_date
from s2scli.console import LogFormat
from s2scli.options import (
    Dir,
    Force,
    Format,
    Quiet,
    Set,
    Verbose,
    Workers,
    open_project,
    start_logging,
)


def command(
    folder: Dir = Path(),
    overrides: Set = None,
    workers: Workers = None,
    force: Force = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    log_format: Format = LogFormat.TEXT,
) -> None:
    """Tokenize, build the vocabularies, reverse the source, append EOS."""
    start_logging(quiet, verbose, log_format)
    project = open_project(folder, overrides, preprocess__workers=workers)
    bring_up_to_date(project, "preprocess", force=force)

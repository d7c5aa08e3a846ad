"""`s2s train`."""

from pathlib import Path

from s2scli.commands.stage import bring_up_to_date
from s2scli.console import LogFormat
from s2scli.options import (
    Device,
    Dir,
    Force,
    Format,
    Quiet,
    Set,
    Verbose,
    open_project,
    start_logging,
)


def command(
    folder: Dir = Path(),
    overrides: Set = None,
    device: Device = None,
    force: Force = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    log_format: Format = LogFormat.TEXT,
) -> None:
    """Train the model, or go on with a training that was stopped.

    Ctrl-C or SIGTERM saves and stops; SIGUSR1 saves and goes on. The same command
    resumes. --force sets an earlier training aside and starts afresh.
    """
    start_logging(quiet, verbose, log_format)
    project = open_project(folder, overrides, train__device=device)
    bring_up_to_date(project, "train", force=force)

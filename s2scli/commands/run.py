"""`s2s run`."""

from pathlib import Path
from typing import Annotated

import typer

from s2scli.commands.stage import bring_up_to_date
from s2scli.console import LogFormat
from s2scli.options import (
    Dir,
    Force,
    Format,
    Quiet,
    Set,
    Verbose,
    open_project,
    start_logging,
)

Target = Annotated[
    str | None,
    typer.Argument(help="The last stage to run.", metavar="[STAGE]"),
]


def command(
    target: Target = None,
    folder: Dir = Path(),
    overrides: Set = None,
    force: Force = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    log_format: Format = LogFormat.TEXT,
) -> None:
    """Run every stage that is missing or stale, and nothing else."""
    from pipelines.artifacts.layout import STAGES
    from pipelines.plan import planned_stages

    start_logging(quiet, verbose, log_format)
    if target is not None and target not in STAGES:
        raise typer.BadParameter(f"{target} is none of {', '.join(STAGES)}")
    project = open_project(folder, overrides)
    last = target or planned_stages(project.config)[-1]
    bring_up_to_date(project, last, force=force)

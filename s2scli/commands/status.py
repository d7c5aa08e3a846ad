"""`s2s status`."""

from pathlib import Path

from s2scli.console import LogFormat, print_json, print_table
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
    """Show which stages are fresh, stale or missing, and why."""
    from pipelines.plan import standings

    start_logging(quiet, verbose, log_format)
    project = open_project(folder, overrides)
    found = standings(project.config, project.layout)
    if as_json:
        print_json(
            [{"stage": s.stage, "state": s.state, "reason": s.reason} for s in found]
        )
        return
    print_table(
        ("stage", "state", "why"), [(s.stage, s.state.value, s.reason) for s in found]
    )

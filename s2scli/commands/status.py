"""`s2s status`."""

from s2scli.console import print_json, print_table
from s2scli.options import Json, Request, with_common_options


@with_common_options
def command(request: Request, as_json: Json = False) -> None:
    """Show which stages are fresh, stale or missing, and why.

    Example: s2s status -d demo
    """
    from pipelines.project.status import stage_statuses

    project = request.project()
    rows = [
        {"stage": status.stage, "state": status.state.value, "why": status.reason}
        for status in stage_statuses(project.config, project.layout)
    ]
    if as_json:
        print_json(rows)
    else:
        print_table(("stage", "state", "why"), [tuple(row.values()) for row in rows])

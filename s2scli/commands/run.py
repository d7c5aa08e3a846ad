"""`s2s run`."""

import difflib
from typing import Annotated

import typer

from pipelines.artifacts.layout import STAGES
from pipelines.errors import UsageError
from s2scli.commands.stage import bring_up_to_date
from s2scli.completion import complete_stage
from s2scli.options import Request, with_common_options

Target = Annotated[
    str | None,
    typer.Argument(
        help=f"Stop after this stage ({', '.join(STAGES)}).",
        metavar="STAGE",
        autocompletion=complete_stage,
    ),
]


Force = Annotated[
    bool,
    typer.Option("--force", help="Run the last stage again even if it is up to date."),
]


@with_common_options
def command(request: Request, target: Target = None, force: Force = False) -> None:
    """Run every stage that is missing or stale, and nothing else.

    Example: s2s run -d demo
    """
    from pipelines.project.stages import project_stages

    if target is not None and target not in STAGES:
        near = difflib.get_close_matches(target, STAGES, n=1)
        raise UsageError(
            f"{target} is not a stage, expected one of {', '.join(STAGES)}",
            hint=f"did you mean s2s run {near[0]}?"
            if near
            else "s2s status lists them",
        )
    project = request.project()
    last = target or project_stages(project.config)[-1]
    bring_up_to_date(project, last, force=force)

"""What commands do alike: bring the project up to a stage, find models."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.config import Config
from s2scli.console import progress
from s2scli.options import Project, Request
from s2scli.signals import if_stopped

log = logging.getLogger("pipelines.stage")

_STAGES_KEPT = "finished stages are kept; the same command resumes"


def bring_up_to_date(
    project: Project, stage: str, *, force: bool = False, fork: bool = False
) -> None:
    """Run a stage, and what it needs, unless all is up to date."""
    from pipelines.run import bring_up_to_date as run

    with if_stopped(_STAGES_KEPT):
        done = run(
            project.config,
            project.layout,
            target=stage,
            force=force,
            fork=fork,
            progress=progress(),
        )
    tell_done(done, stage)


def find_models(
    request: Request, named: Sequence[Path] | None, **flags: Any
) -> tuple[list[Path], Config]:
    """The models to use, and the settings.

    Args:
        request: Names the project.
        named: Checkpoints; without any it is the project's best one, and what is
            missing or stale up to `train` runs first.
        **flags: As for `Request.project`.
    """
    if named:
        return list(named), request.settings(**flags)
    from pipelines.run import bring_up_to_date as run

    project = request.project(**flags)
    with if_stopped(_STAGES_KEPT):
        run(project.config, project.layout, target="train", progress=progress())
    return [project.layout.train], project.config


def tell_done(done: Sequence[str], stage: str) -> None:
    """Say when there was nothing to do."""
    if not done:
        log.info("%s is up to date; --force runs it again", stage)

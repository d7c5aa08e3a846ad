"""What the commands of all stages do alike: bring the project up to that stage."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from s2scli.console import progress
from s2scli.options import Project, Request

if TYPE_CHECKING:
    from pipelines.config import TranslateConfig

log = logging.getLogger("pipelines.stage")


def bring_up_to_date(
    project: Project, stage: str, *, force: bool = False, fork: bool = False
) -> None:
    """Run a stage, and what it needs, unless all is up to date."""
    from pipelines.run import bring_up_to_date as run

    done = run(
        project.config,
        project.layout,
        target=stage,
        force=force,
        fork=fork,
        progress=progress(),
    )
    tell_done(done, stage)


def models_of(
    request: Request, models: list[Path] | None, flags: Mapping[str, object]
) -> tuple[list[Path], "TranslateConfig"]:
    """What --model names, or the project's model, trained first; and how to use it."""
    if models:
        return models, request.settings(**flags).translate
    project = request.project(**flags)
    from pipelines.run import bring_up_to_date as run

    run(project.config, project.layout, target="train", progress=progress())
    return [project.layout.train], project.config.translate


def tell_done(done: Sequence[str], stage: str) -> None:
    """Say when there was nothing to do."""
    if not done:
        log.info("%s is up to date; --force runs it again", stage)

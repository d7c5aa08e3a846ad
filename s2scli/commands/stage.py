"""Shared by commands: bring the project up to a stage, and find models.

docs/commands.md has the table of which command may start which stage.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pipelines.artifacts.layout import TRANSLATED_SPLITS, Layout
from pipelines.config import Config
from pipelines.errors import MissingArtifactError
from s2scli.console import progress
from s2scli.options import Flags, Project, Request, refuse_if
from s2scli.signals import hint_if_stopped

log = logging.getLogger("pipelines.stage")

_STAGES_KEPT = "finished stages are kept; the same command resumes"


def with_split(project: Project, split: str) -> Project:
    """The project, with `split` as the one to translate and score.

    Raises:
        UsageError: There is no such split.
    """
    known = " or ".join(TRANSLATED_SPLITS)
    refuse_if(
        split not in TRANSLATED_SPLITS,
        f"--split {split}: expected {known}",
        "s2s translate FILE and s2s score HYP --ref REF take any text",
    )
    return replace(project, layout=replace(project.layout, split=split))


def bring_up_to_date(
    project: Project,
    stage: str,
    *,
    force: bool = False,
    fork: bool = False,
    keep_translation: bool = False,
) -> None:
    """Run a stage and the stages it needs, as far as they are not up to date."""
    from pipelines.run import Options
    from pipelines.run import bring_up_to_date as run

    with hint_if_stopped(_STAGES_KEPT):
        done = run(
            project.config,
            project.layout,
            stage,
            Options(force=force, fork=fork, keep_translation=keep_translation),
            progress=progress(),
        )
    log_if_up_to_date(done, stage)


def find_models(
    request: Request, named: Sequence[Path] | None, flags: Flags
) -> tuple[list[Path], Config]:
    """The models to use, and the settings; trains nothing and takes no lock.

    Args:
        request: Names the project.
        named: Checkpoints; None for the project's best one so far.
        flags: As for `Request.project`.

    Raises:
        MissingArtifactError: No model is named, and there is no project.
    """
    if named:
        return list(named), request.settings(flags)
    settings = Layout(request.folder).settings
    if not settings.is_file():
        raise MissingArtifactError(
            f"{settings} not found",
            hint="-m MODEL takes a checkpoint, which needs no project; -d DIR names a "
            "project's folder",
        )
    from pipelines.project.status import changes_since_training

    project = request.project(flags)
    changes = changes_since_training(project.config, project.layout)
    if changes:
        log.warning(
            "the model was trained with other settings (%s); s2s train says what can "
            "be done",
            "; ".join(changes),
        )
    return [project.layout.train], project.config


def log_if_up_to_date(done: Sequence[str], stage: str) -> None:
    """Log that a stage is up to date, if no stage was run."""
    if not done:
        log.info("%s is up to date; --force runs it again", stage)

"""Bring a project up to date: run what is missing or stale, in order, and nothing else.

Stages are imported when they run, so that asking how a project stands loads no torch.
"""

import importlib
import logging
import time
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Protocol, cast

from pipelines.artifacts.layout import Layout
from pipelines.artifacts.manifest import Manifest
from pipelines.config import Config
from pipelines.errors import ConfigError
from pipelines.progress import SILENT, Progress
from pipelines.project import plan
from pipelines.project.lock import locked
from pipelines.project.plan import State

log = logging.getLogger(__name__)


class Run(Protocol):
    """What a stage does."""

    def __call__(
        self, config: Config, layout: Layout, *, progress: Progress
    ) -> Manifest:
        """Load, work, write; return the manifest."""


class Stage(Protocol):
    """What a stage's module offers."""

    run: Run


def bring_up_to_date(
    config: Config,
    layout: Layout,
    *,
    target: str,
    force: bool = False,
    fork: bool = False,
    keep_translation: bool = False,
    progress: Progress = SILENT,
    train: Run | None = None,
) -> list[str]:
    """Run every missing or stale stage up to `target`.

    Args:
        config: The project's settings.
        layout: Its folders.
        target: The last stage that is wanted.
        force: Run `target` even if it is up to date.
        fork: Let training continue from what is in `train/`, with other settings.
        keep_translation: Take the translation that is there even if the trained model
            made it with other settings of the search.
        progress: Where to show.
        train: Runs training in place of `pipelines.train.run`.

    Returns:
        The stages that were run; none when all was up to date.

    Raises:
        ConfigError: `target` needs a test split and there is none, or a training
            with other settings would be replaced.
        UsageError: There is nothing to fork from, or nothing changed.
    """
    done: list[str] = []
    wanted = _stages_to(target, config, layout.split)
    kept = ("translate",) if keep_translation else ()
    if not (force or fork) and _done_without_text(config, layout, wanted, kept):
        return done
    if keep_translation:
        other = plan.settings_of_translation(config, layout)
        if other:
            wanted.remove("translate")
            log.warning(
                "scoring the translation in %s, made with other settings than those of "
                "now (%s); s2s translate --split %s makes it again",
                layout.translate.relative_to(layout.root),
                "; ".join(other),
                layout.split,
            )
    if not (force or fork) and all(
        plan.standing(stage, config, layout).state is State.FRESH for stage in wanted
    ):
        return done  # nothing to write: works in a read-only folder
    with locked(layout):
        prepare = _training_to_be(config, layout, wanted, fork=fork, force=force)
        for stage in wanted:
            found = plan.standing(stage, config, layout)
            forced = force and stage == target
            if found.state is State.FRESH and not forced:
                continue
            why = "forced" if forced else found.state.value
            if found.reason and not forced:
                why += f" ({found.reason})"
            log.info("%s: %s, running it%s", stage, why, _before(stage, target))
            if stage == "train":
                cost = partial(_log_cost, config, layout, with_trial=train is None)
                if fork:  # its first checkpoint says what is left
                    prepare()
                    cost()
                else:  # a trial that is stopped leaves the earlier training alone
                    cost(from_zero=forced)
                    prepare()
            run = train if train and stage == "train" else _runner(stage)
            _run_stage(stage, run, config, layout, progress)
            done.append(stage)
    return done


def train_together(
    config: Config,
    layout: Layout,
    *,
    force: bool = False,
    fork: bool = False,
    progress: Progress = SILENT,
) -> list[str]:
    """Bring a project up to training, by all the processes that torchrun started.

    The first process runs the stages before; the others wait until it trains, if it
    does. Arguments, result and errors as `bring_up_to_date`.

    Raises:
        PeerError: Another process has ended.
    """
    from pipelines import train
    from pipelines.distributed.process_group import process_group
    from pipelines.model.engine.device import choose_device

    with process_group(choose_device(config.train.device).type) as distributed:
        if not distributed.is_main_process:
            if distributed.broadcast_object(False):
                train.run_worker(config, layout, distributed=distributed)
            return []
        waiting = True

        def lead(config: Config, layout: Layout, *, progress: Progress) -> Manifest:
            nonlocal waiting
            waiting = False
            distributed.broadcast_object(True)
            return train.run(config, layout, progress=progress, distributed=distributed)

        try:
            return bring_up_to_date(
                config,
                layout,
                target="train",
                force=force,
                fork=fork,
                progress=progress,
                train=lead,
            )
        finally:
            if waiting:
                distributed.broadcast_object(False)


def _runner(stage: str) -> Run:
    return cast(Stage, importlib.import_module(f"pipelines.{stage}")).run


def _run_stage(
    stage: str, run: Run, config: Config, layout: Layout, progress: Progress
) -> None:
    started = time.perf_counter()
    try:
        run(config, layout, progress=progress)
    except OSError as error:
        if error.filename is None:  # a write that failed does not say where
            error.filename = str(layout.stage(stage))
        raise
    log.info("%s: done in %.1f s", stage, time.perf_counter() - started)


def _log_cost(
    config: Config, layout: Layout, *, with_trial: bool, from_zero: bool = False
) -> None:
    from pipelines.estimate.cost import log_cost
    from pipelines.project.runs import resumed_position

    resumed = None if from_zero else resumed_position(config, layout)
    log_cost(config, layout, with_trial=with_trial, resumed=resumed)


def _training_to_be(
    config: Config,
    layout: Layout,
    wanted: Sequence[str],
    *,
    fork: bool,
    force: bool,
) -> Callable[[], None]:
    """What is to become of an earlier training, found out before any work is done.

    Returns:
        What to do right before training.
    """
    if "train" not in wanted:
        return _nothing
    if fork:
        from pipelines.project.fork import carry_out, find_fork

        found = find_fork(config, layout)
        return lambda: carry_out(found, config, layout)
    if force and wanted[-1] == "train":
        from pipelines.project.runs import set_aside

        return lambda: set_aside(config, layout)
    if plan.standing("train", config, layout).state is not State.FRESH:
        from pipelines.project.runs import require_own

        require_own(config, layout)
    return _nothing


def _nothing() -> None:
    pass


def _done_without_text(
    config: Config, layout: Layout, wanted: Sequence[str], kept: Collection[str]
) -> bool:
    """Whether a file of the user is gone, and what was made of it is up to date.

    Stages before the last one may be gone, too: they could not be run again.

    Args:
        config: The project's settings.
        layout: Its folders.
        wanted: Stages, the last of which matters.
        kept: Stages that may have been run with other settings.
    """
    found = [
        plan.standing(stage, config, layout) for stage in wanted if stage not in kept
    ]
    *before, last = found
    if last.state is not State.FRESH or not last.reason:
        return False
    if any(each.state not in (State.FRESH, State.MISSING) for each in before):
        return False
    log.warning("%s: %s", last.stage, last.reason)
    return True


def _stages_to(target: str, config: Config, split: str) -> list[str]:
    stages = plan.planned_stages(config, split)
    if target not in stages:
        raise ConfigError(
            f"{target} needs a {split} split, and data.{split} is not set",
            hint=f"set data.{split} in s2s.toml, or use s2s translate < FILE "
            "and s2s score --ref FILE",
        )
    return list(stages[: stages.index(target) + 1])


def _before(stage: str, target: str) -> str:
    return "" if stage == target else " first"

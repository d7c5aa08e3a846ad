"""Bring a project up to date: run what is missing or stale, in order, and nothing else.

Stages are imported when they run, so that asking for the status loads no torch.
"""

import importlib
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from pipelines.artifacts.layout import Layout
from pipelines.artifacts.manifest import Manifest
from pipelines.config import Config
from pipelines.errors import ConfigError
from pipelines.progress import SILENT, Progress
from pipelines.project.lock import locked
from pipelines.project.stages import project_stages
from pipelines.project.status import (
    StageState,
    changes_since_translation,
    stage_status,
)

if TYPE_CHECKING:
    from pipelines.distributed.process_group import DistributedContext
    from pipelines.project.fork import Fork

log = logging.getLogger(__name__)


class RunStage(Protocol):
    """The function `run` of a stage's module."""

    def __call__(
        self, config: Config, layout: Layout, *, progress: Progress
    ) -> Manifest:
        """Load, work, write; return the manifest."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asks for besides bringing stages up to date."""

    force: bool = False
    """Run the last stage even if it is up to date."""
    fork: bool = False
    """Let training resume from the checkpoints in `train/` with other settings."""
    keep_translation: bool = False
    """Accept a translation by the trained model with other search settings."""


def bring_up_to_date(
    config: Config,
    layout: Layout,
    target: str,
    options: Options,
    *,
    progress: Progress = SILENT,
    train: RunStage | None = None,
) -> list[str]:
    """Run every missing or stale stage up to `target`.

    Args:
        config: The project's settings.
        layout: The project's folders.
        target: The last stage to run.
        options: What the user asks for besides.
        progress: Shows the progress of each stage.
        train: Runs training in place of `pipelines.train.run`.

    Returns:
        The stages that were run; none when all were up to date.

    Raises:
        ConfigError: `target` needs a test split and there is none, or a training
            with other settings would be replaced.
        UsageError: There is nothing to fork from, or nothing changed.
    """
    stages = _stages_to(target, config, layout.split)
    is_forced = options.force or options.fork
    kept = "translate" if options.keep_translation else None
    checked = [stage for stage in stages if stage != kept]
    if not is_forced and _is_done_without_text(config, layout, checked):
        return []
    if kept and _keeps_other_translation(config, layout):
        stages = checked
    if not is_forced and all(_is_fresh(stage, config, layout) for stage in stages):
        return []  # without a lock: works in a read-only folder
    done: list[str] = []
    with locked(layout):
        fork = _check_earlier_training(config, layout, stages, options)
        for stage in stages:
            forced = options.force and stage == target
            status = stage_status(stage, config, layout)
            if status.state is StageState.FRESH and not forced:
                continue
            why = "forced" if forced else status.state.value
            if status.reason and not forced:
                why += f" ({status.reason})"
            first = "" if stage == target else " first"
            log.info("%s: %s, running it%s", stage, why, first)
            if stage == "train":
                afresh = forced and fork is None
                _prepare_training(
                    config, layout, fork=fork, afresh=afresh, with_trial=train is None
                )
            run = train if train and stage == "train" else _load_stage(stage)
            _run_stage(stage, run, config, layout, progress)
            done.append(stage)
    return done


def train_distributed(
    config: Config, layout: Layout, options: Options, *, progress: Progress = SILENT
) -> list[str]:
    """Bring a project up to training, in all the processes that torchrun started.

    The first process runs the stages before training; the others wait for it.
    Arguments, result and errors as for `bring_up_to_date`.

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
        lead = _LeadTraining(distributed)
        try:
            return bring_up_to_date(
                config, layout, "train", options, progress=progress, train=lead
            )
        finally:
            lead.release()


class _LeadTraining:
    """Training in the first process, which tells the others whether to train.

    Args:
        distributed: The processes; each of the others waits for one boolean.
    """

    def __init__(self, distributed: "DistributedContext") -> None:
        self._distributed = distributed
        self._others_wait = True

    def __call__(
        self, config: Config, layout: Layout, *, progress: Progress
    ) -> Manifest:
        from pipelines import train

        self._others_wait = False
        self._distributed.broadcast_object(True)
        return train.run(
            config, layout, progress=progress, distributed=self._distributed
        )

    def release(self) -> None:
        """Let the other processes end if there was no training."""
        if self._others_wait:
            self._distributed.broadcast_object(False)


def _stages_to(target: str, config: Config, split: str) -> list[str]:
    stages = project_stages(config, split)
    if target not in stages:
        raise ConfigError(
            f"{target} needs a {split} split, and data.{split} is not set",
            hint=f"set data.{split} in s2s.toml, or use s2s translate < FILE "
            "and s2s score --ref FILE",
        )
    return list(stages[: stages.index(target) + 1])


def _is_fresh(stage: str, config: Config, layout: Layout) -> bool:
    return stage_status(stage, config, layout).state is StageState.FRESH


def _is_done_without_text(
    config: Config, layout: Layout, stages: Sequence[str]
) -> bool:
    """Whether the last stage is up to date, though a file of the user is missing.

    Stages before it may be missing, too: they could not be run again.
    """
    *before, last = [stage_status(stage, config, layout) for stage in stages]
    if last.state is not StageState.FRESH or not last.reason:
        return False
    allowed = (StageState.FRESH, StageState.MISSING)
    if any(status.state not in allowed for status in before):
        return False
    log.warning("%s: %s", last.stage, last.reason)
    return True


def _keeps_other_translation(config: Config, layout: Layout) -> bool:
    """Whether there is a translation by this model with other settings; warn of it."""
    changes = changes_since_translation(config, layout)
    if changes:
        log.warning(
            "scoring the translation in %s, made with other settings than the current "
            "ones (%s); s2s translate --split %s makes it again",
            layout.translate.relative_to(layout.root),
            "; ".join(changes),
            layout.split,
        )
    return bool(changes)


def _check_earlier_training(
    config: Config, layout: Layout, stages: Sequence[str], options: Options
) -> "Fork | None":
    """Refuse to replace an earlier training, before any stage is run.

    Returns:
        The fork to make, if one is asked for.
    """
    if "train" not in stages:
        return None
    if options.fork:
        from pipelines.project.fork import find_fork

        return find_fork(config, layout)
    is_replaced = options.force and stages[-1] == "train"
    if not is_replaced and not _is_fresh("train", config, layout):
        from pipelines.project.runs import require_claimable

        require_claimable(config, layout)
    return None


def _prepare_training(
    config: Config,
    layout: Layout,
    *,
    fork: "Fork | None",
    afresh: bool,
    with_trial: bool,
) -> None:
    """Make the fork or move an earlier training aside, and log the cost.

    A trial that is interrupted moves no earlier training.
    """
    from pipelines.estimate.cost import log_cost
    from pipelines.project import runs

    if fork is not None:  # its first checkpoint says how many updates are left
        from pipelines.project.fork import make_fork

        make_fork(fork, config, layout)
    resumed = None if afresh else runs.resumed_state(config, layout)
    log_cost(config, layout, with_trial=with_trial, resumed=resumed)
    if afresh:
        runs.replace_runs(config, layout)


def _load_stage(stage: str) -> RunStage:
    run: RunStage = importlib.import_module(f"pipelines.{stage}").run
    return run


def _run_stage(
    stage: str, run: RunStage, config: Config, layout: Layout, progress: Progress
) -> None:
    started = time.perf_counter()
    try:
        run(config, layout, progress=progress)
    except OSError as error:
        if error.filename is None:  # a failed write does not say where
            error.filename = str(layout.stage(stage))
        raise
    log.info("%s: done in %.1f s", stage, time.perf_counter() - started)

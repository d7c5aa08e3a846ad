"""Whose folder `train/` is: one training's at a time, and none is ever lost.

A training is resumed with its own settings, and a finished one is extended when a limit
rises. Other settings are refused until the user decides: `--fork` keeps the earlier
training as `train.aside-<run>`, which is taken up again when its settings return;
`--force` keeps it as `train.kept-<run>`.
"""

import logging
from dataclasses import replace
from pathlib import Path

from pipelines.artifacts.checkpoint import (
    checkpoints,
    read_trainer_info,
    step_of,
)
from pipelines.artifacts.files import remove_all_leftovers
from pipelines.artifacts.layout import CHECKPOINTS, MANIFEST, RUN, Layout
from pipelines.artifacts.run_record import (
    LIMITS,
    ForkedFrom,
    RunRecord,
    read_record,
    write_record,
)
from pipelines.config import Config
from pipelines.errors import ConfigError, CorruptArtifactError
from pipelines.project import plan
from pipelines.trainer.schedule import last_step
from pipelines.trainer.train_state import TrainState
from pipelines.wording import plural

log = logging.getLogger(__name__)

PLANNING = frozenset({"train.batch_size", "train.max_batch_tokens", "train.seed"})
"""Settings of training that decide which pairs are in which batch."""
NO_SHAPES = ("dropout", "init_range")
"""Settings of the model on which no weight's shape depends."""
_KEPT = ("train.keep_last", "train.keep_best")
_UNKNOWN = "unknown"


def claim(config: Config, layout: Layout) -> str:
    """Make `train/` the folder of the training that the settings ask for.

    Returns:
        The run's key.

    Raises:
        ConfigError: A training with other settings is there.
        CorruptArtifactError: Nobody knows whose checkpoints are there.
    """
    require_own(config, layout)
    wanted = plan.wanted_run(config, layout)
    folder, earlier = layout.train, aside(layout, wanted.key)
    if earlier.exists() and run_in(folder) not in (None, wanted.key):
        move_aside(folder, f"{folder.name}.aside-{run_in(folder)}")
    if not folder.exists() and earlier.exists():
        earlier.rename(folder)
        log.info("taking up %s again", earlier.name)
    folder.mkdir(exist_ok=True)
    before, position = read_record(folder), _newest_position(folder)
    if before is not None and position is not None:
        _log_extension(before, wanted, position, folder)
        wanted = replace(wanted, forked_from=_origin(before, wanted, position))
    write_record(folder, wanted)
    (folder / CHECKPOINTS).mkdir(exist_ok=True)
    for written_into in (folder, folder / CHECKPOINTS):
        remove_all_leftovers(written_into)
    (folder / MANIFEST).unlink(missing_ok=True)
    return wanted.key


def require_own(config: Config, layout: Layout) -> None:
    """Check that no training with other settings would be replaced.

    A finished training may be extended by later limits. Any training gives way to one
    that is kept already and has the settings that are asked for.

    Raises:
        ConfigError: One would; the message shows what changed.
        CorruptArtifactError: Nobody knows whose checkpoints are there.
    """
    folder = layout.train
    position = _newest_position(folder)
    if position is None:
        return
    found, wanted = read_record(folder), plan.wanted_run(config, layout)
    if found is None:
        raise CorruptArtifactError(
            f"{folder / RUN} is missing or damaged, and there are checkpoints",
            hint="s2s train --force keeps them aside and starts afresh",
        )
    same, ended = found.key == wanted.key, (folder / MANIFEST).exists()
    if not same and aside(layout, wanted.key).exists():
        return
    if _is_extension(found, wanted, position, config) if ended else same:
        return
    step = position.step
    what = (
        f"a finished training of {plural(step, 'step')} with other settings"
        if ended
        else f"a training that stopped at step {step} and had other settings"
    )
    lines = changes(found, config, layout) or plan.differences(found, wanted)
    changed = "".join(f"\n  {line}" for line in lines)
    ways = [f"set them back, and s2s train {'keeps' if ended else 'resumes'} it"]
    if _may_fork(found, wanted, position, config):
        ways.append(f"s2s train --fork resumes from step {step} with the new ones")
    ways.append("s2s train --force keeps that training aside and starts afresh")
    raise ConfigError(f"{folder} holds {what}:{changed}", hint="; ".join(ways))


def _may_fork(
    found: RunRecord, wanted: RunRecord, position: TrainState, config: Config
) -> bool:
    """Whether the weights fit, and the limits leave updates to make."""
    names = set(found.settings) | set(wanted.settings)
    changed = {n for n in names if found.settings.get(n) != wanted.settings.get(n)}
    shapes = {name for name in changed if name.startswith("model.")}
    if shapes.difference(f"model.{name}" for name in NO_SHAPES):
        return False
    steps_per_epoch, ahead = position.steps_per_epoch, position.ahead
    if not steps_per_epoch or changed & PLANNING or found.inputs != wanted.inputs:
        return True  # the batches are others: --fork counts them
    last = last_step(config.train, steps_per_epoch=steps_per_epoch, ahead=ahead)
    return last > position.step


def resumed_position(config: Config, layout: Layout) -> TrainState | None:
    """Where the training stands that `claim` takes up; None if it begins at zero."""
    key = plan.wanted_run(config, layout).key
    earlier = aside(layout, key)
    taken_up = earlier.exists() and run_in(layout.train) != key
    return _newest_position(earlier if taken_up else layout.train)


def _newest_position(folder: Path) -> TrainState | None:
    """Where the newest checkpoint that can be read stands; None where there is none."""
    done = checkpoints(folder / CHECKPOINTS)
    for path in reversed(done):
        try:
            return TrainState.from_info(read_trainer_info(path))
        except (CorruptArtifactError, KeyError, TypeError):
            continue
    return TrainState(step=step_of(done[-1])) if done else None


def _is_extension(
    found: RunRecord, wanted: RunRecord, position: TrainState, config: Config
) -> bool:
    """Whether only limits differ, and none ends the training before where it ended."""
    if plan.differences(found, wanted, free=LIMITS):
        return False
    settings = config.train
    late = settings.max_minutes and position.elapsed_s > 60 * settings.max_minutes
    if late and found.settings["train.max_minutes"] != settings.max_minutes:
        return False
    steps_per_epoch, ahead = position.steps_per_epoch, position.ahead
    if not steps_per_epoch:
        return True  # no checkpoint says how long it trained
    last = last_step(settings, steps_per_epoch=steps_per_epoch, ahead=ahead)
    return last >= position.step


def _log_extension(
    before: RunRecord, wanted: RunRecord, position: TrainState, folder: Path
) -> None:
    changed = plan.differences(before, wanted, free=_KEPT)
    if not changed or not (folder / MANIFEST).exists():
        return
    schedule = wanted.settings["train.schedule"]
    rate = "is computed anew, for the new end"
    if before.key == wanted.key:
        rate = "does not depend on the end"
    log.info(
        "extending the finished training from step %d (%s); the learning rate of "
        "schedule %s %s",
        position.step,
        "; ".join(changed),
        schedule,
        rate,
    )


def _origin(
    before: RunRecord, wanted: RunRecord, position: TrainState
) -> ForkedFrom | None:
    """Find the earlier training, if any, of one that takes over the folder of `before`.

    Where the learning rate depends on the limits an extended training is not the one
    that would have had them from the start, and its record says so.
    """
    if before.key == wanted.key:
        return before.forked_from
    return ForkedFrom(before.key, position.step)


def changes(found: RunRecord, config: Config, layout: Layout) -> list[str]:
    """One line for each change between a training and what is asked for now.

    Where the text that it learnt from is still there, its settings are named too.
    """
    wanted = plan.wanted_run(config, layout)
    lines = plan.run_differences(found, wanted)
    before = "preprocess", "binarize"
    stale = [plan.standing(stage, config, layout) for stage in before]
    causes = [
        line
        for standing in stale
        if standing.state is plan.State.STALE
        for line in standing.reason.split("; ")
        if line != "preprocess changed"
    ]
    if "binarize changed" in lines and causes:
        lines.remove("binarize changed")
        lines += causes
    return [
        "the training data changed" if x == "binarize changed" else x for x in lines
    ]


def set_aside(config: Config, layout: Layout) -> None:
    """Move earlier training out of the way for good: training starts afresh."""
    key = plan.wanted_run(config, layout).key
    for earlier in (layout.train, aside(layout, key)):
        found = run_in(earlier)
        if found is not None:
            move_aside(earlier, f"{layout.train.name}.kept-{found}")


def aside(layout: Layout, key: str) -> Path:
    """Where a run waits until its settings return."""
    return layout.train.with_name(f"{layout.train.name}.aside-{key}")


def move_aside(folder: Path, name: str) -> None:
    """Give a run's folder another name, numbered where that is taken."""
    target = folder.with_name(name)
    number = 1
    while target.exists():
        number += 1
        target = folder.with_name(f"{name}-{number}")
    folder.rename(target)
    log.info("the earlier training is kept as %s", target.name)


def run_in(folder: Path) -> str | None:
    """Key of the run in a folder; None where nothing of a training is there."""
    found = read_record(folder)
    if found is not None:
        return found.key
    worth = (folder / MANIFEST).exists() or checkpoints(folder / CHECKPOINTS)
    return _UNKNOWN if worth else None

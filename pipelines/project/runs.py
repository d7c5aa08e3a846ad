"""The training in `train/`: whether it is the one that the settings ask for.

A training is resumed with its own settings, and a finished one is extended when a limit
rises. Other settings are refused until the user decides: `--fork` keeps the earlier
training as `train.aside-<run>`, which is resumed when its settings return; `--force`
keeps it as `train.kept-<run>`.
"""

import logging
from dataclasses import replace
from pathlib import Path

from pipelines.artifacts.checkpoint_folder import checkpoints, read_info, step_of
from pipelines.artifacts.files import remove_leftovers_in
from pipelines.artifacts.layout import CHECKPOINTS, MANIFEST, RUN, TRAINER_INFO, Layout
from pipelines.artifacts.run_record import (
    ForkedFrom,
    RunRecord,
    read_record,
    write_record,
)
from pipelines.config import Config
from pipelines.errors import ConfigError, CorruptArtifactError
from pipelines.project.run_identity import BATCHING, LIMITS, SHAPELESS
from pipelines.project.stages import differences, wanted_run
from pipelines.project.status import run_changes
from pipelines.trainer.schedule import last_step
from pipelines.trainer.train_state import TrainState
from pipelines.wording import plural

log = logging.getLogger(__name__)

_KEPT = ("train.keep_last", "train.keep_best")
_UNKNOWN = "unknown"


def claim(config: Config, layout: Layout) -> str:
    """Make `train/` the folder of the run that the settings ask for.

    Returns:
        The run's key.

    Raises:
        ConfigError: A training with other settings is there.
        CorruptArtifactError: There are checkpoints of an unknown run.
    """
    require_claimable(config, layout)
    wanted = wanted_run(config, layout)
    folder, aside = layout.train, layout.train_aside(wanted.key)
    present = run_in(folder)
    if aside.exists() and present not in (None, wanted.key):
        move_run(folder, layout.train_aside(str(present)))
    if not folder.exists() and aside.exists():
        aside.rename(folder)
        log.info("resuming %s", aside.name)
    folder.mkdir(exist_ok=True)
    recorded, state = read_record(folder), _newest_state(folder)
    if recorded is not None and state is not None:
        _log_extension(recorded, wanted, state, folder)
        wanted = replace(wanted, forked_from=_origin(recorded, wanted, state))
    write_record(folder, wanted)
    (folder / CHECKPOINTS).mkdir(exist_ok=True)
    for written_into in (folder, folder / CHECKPOINTS):
        remove_leftovers_in(written_into)
    (folder / MANIFEST).unlink(missing_ok=True)
    return wanted.key


def require_claimable(config: Config, layout: Layout) -> None:
    """Check that `claim` would replace no training with other settings.

    A finished training may be extended by higher limits. Any training is moved aside
    for one that was moved aside before and has the settings that are asked for.

    Raises:
        ConfigError: It would replace one; the message shows what changed.
        CorruptArtifactError: There are checkpoints of an unknown run.
    """
    folder = layout.train
    state = _newest_state(folder)
    if state is None:
        return
    recorded, wanted = read_record(folder), wanted_run(config, layout)
    if recorded is None:
        raise CorruptArtifactError(
            f"{folder / RUN} is missing or damaged, and there are checkpoints",
            hint="s2s train --force keeps them aside and starts afresh",
        )
    same, ended = recorded.key == wanted.key, (folder / MANIFEST).exists()
    if not same and layout.train_aside(wanted.key).exists():
        return
    if _is_extension(recorded, wanted, state, config) if ended else same:
        return
    what = (
        f"a finished training of {plural(state.step, 'step')} with other settings"
        if ended
        else f"a training that stopped at step {state.step} and had other settings"
    )
    changes = run_changes(recorded, config, layout) or differences(recorded, wanted)
    choices = [f"set them back, and s2s train {'keeps' if ended else 'resumes'} it"]
    if _may_fork(recorded, wanted, state, config):
        choices.append(
            f"s2s train --fork resumes from step {state.step} with the new ones"
        )
    choices.append("s2s train --force keeps that training aside and starts afresh")
    raise ConfigError(
        f"{folder} holds {what}:" + "".join(f"\n  {line}" for line in changes),
        hint="; ".join(choices),
    )


def resumed_state(config: Config, layout: Layout) -> TrainState | None:
    """State of the training that `claim` resumes; None if it begins at step 0."""
    key = wanted_run(config, layout).key
    aside = layout.train_aside(key)
    is_aside = aside.exists() and run_in(layout.train) != key
    return _newest_state(aside if is_aside else layout.train)


def replace_runs(config: Config, layout: Layout) -> None:
    """Move earlier trainings to `train.kept-<run>`: training starts afresh."""
    wanted = wanted_run(config, layout)
    for folder in (layout.train, layout.train_aside(wanted.key)):
        key = run_in(folder)
        if key is not None:
            move_run(folder, layout.train_kept(key))


def move_run(folder: Path, target: Path) -> None:
    """Rename a run's folder, with a number where the name is taken."""
    name, number = target.name, 1
    while target.exists():
        number += 1
        target = target.with_name(f"{name}-{number}")
    folder.rename(target)
    log.info("the earlier training is kept as %s", target.name)


def run_in(folder: Path) -> str | None:
    """Key of the run in a folder; None where there is no training."""
    record = read_record(folder)
    if record is not None:
        return record.key
    trained = (folder / MANIFEST).exists() or checkpoints(folder / CHECKPOINTS)
    return _UNKNOWN if trained else None


def _newest_state(folder: Path) -> TrainState | None:
    """State in the newest readable checkpoint; None where there is no checkpoint."""
    present = checkpoints(folder / CHECKPOINTS)
    for path in reversed(present):
        try:
            return TrainState.from_info(read_info(path / TRAINER_INFO))
        except (CorruptArtifactError, KeyError, TypeError):
            continue
    return TrainState(step=step_of(present[-1])) if present else None


def _may_fork(
    recorded: RunRecord, wanted: RunRecord, state: TrainState, config: Config
) -> bool:
    """Whether the weights fit, and the limits leave updates to make."""
    before, now = recorded.settings, wanted.settings
    changed = {n for n in {*before, *now} if before.get(n) != now.get(n)}
    if any(name.startswith("model.") for name in changed - SHAPELESS):
        return False
    if not state.steps_per_epoch or changed & BATCHING:
        return True  # --fork itself counts the batches
    if recorded.inputs != wanted.inputs:
        return True
    return _last_step(config, state) > state.step


def _last_step(config: Config, state: TrainState) -> int:
    return last_step(
        config.train, steps_per_epoch=state.steps_per_epoch, ahead=state.ahead
    )


def _is_extension(
    recorded: RunRecord, wanted: RunRecord, state: TrainState, config: Config
) -> bool:
    """Whether only limits differ, and none ends the training before where it ended."""
    if differences(recorded, wanted, free=LIMITS):
        return False
    max_minutes = config.train.max_minutes
    is_over = max_minutes and state.elapsed_s > 60 * max_minutes
    if is_over and recorded.settings["train.max_minutes"] != max_minutes:
        return False
    if not state.steps_per_epoch:
        return True  # no checkpoint says how long it trained
    return _last_step(config, state) >= state.step


def _log_extension(
    recorded: RunRecord, wanted: RunRecord, state: TrainState, folder: Path
) -> None:
    changes = differences(recorded, wanted, free=_KEPT)
    if not changes or not (folder / MANIFEST).exists():
        return
    same = recorded.key == wanted.key
    rate = "does not depend on the end" if same else "is computed for the new end"
    log.info(
        "extending the finished training from step %d (%s); the learning rate of "
        "schedule %s %s",
        state.step,
        "; ".join(changes),
        wanted.settings["train.schedule"],
        rate,
    )


def _origin(
    recorded: RunRecord, wanted: RunRecord, state: TrainState
) -> ForkedFrom | None:
    """The run that `wanted` continues in the folder of `recorded`, if any.

    Where the learning rate depends on the limits, an extended training is not the one
    that would have had them from the start, and its record says so.
    """
    if recorded.key == wanted.key:
        return recorded.forked_from
    return ForkedFrom(recorded.key, state.step)

"""Whose folder `train/` is: one training's at a time, and none is ever lost.

A finished training whose settings change is set aside as `train.aside-<run>` and taken
up again when they return. One that has not ended is left alone until the user says
what is to become of it.
"""

import logging
from dataclasses import replace
from pathlib import Path

from pipelines import plan
from pipelines.artifacts.checkpoint import checkpoints, step_of
from pipelines.artifacts.files import remove_all_leftovers
from pipelines.artifacts.layout import MANIFEST, RUN, Layout
from pipelines.artifacts.run_record import RunRecord, read_record, write_record
from pipelines.config import Config
from pipelines.errors import ConfigError, CorruptArtifactError

log = logging.getLogger(__name__)

_UNKNOWN = "unknown"


def claim(config: Config, layout: Layout) -> str:
    """Make `train/` the folder of the training that the settings ask for.

    Returns:
        The run's key.

    Raises:
        ConfigError: A training with other settings is there and has not ended.
        CorruptArtifactError: Nobody knows whose checkpoints are there.
    """
    require_own(config, layout)
    wanted = plan.wanted_run(config, layout)
    folder, earlier = layout.train, aside(layout, wanted.key)
    found = run_in(folder)
    if found not in (None, wanted.key):
        move_aside(folder, f"{folder.name}.aside-{found}")
    if not folder.exists() and earlier.exists():
        earlier.rename(folder)
        log.info("taking up %s again", earlier.name)
    folder.mkdir(exist_ok=True)
    before = read_record(folder)
    if before is not None:
        wanted = replace(wanted, forked_from=before.forked_from)
    write_record(folder, wanted)
    (folder / "checkpoints").mkdir(exist_ok=True)
    for written_into in (folder, folder / "checkpoints"):
        remove_all_leftovers(written_into)
    (folder / MANIFEST).unlink(missing_ok=True)
    return wanted.key


def require_own(config: Config, layout: Layout) -> None:
    """Check that no training with other settings would be broken off.

    One that has ended may be set aside, and so may one whose settings give way to
    those of a training that is kept already.

    Raises:
        ConfigError: One would; the message shows what changed.
        CorruptArtifactError: Nobody knows whose checkpoints are there.
    """
    folder = layout.train
    done = checkpoints(folder / "checkpoints")
    if not done or (folder / MANIFEST).exists():
        return
    found, wanted = read_record(folder), plan.wanted_run(config, layout)
    if found is None:
        raise CorruptArtifactError(
            f"{folder / RUN} is missing or damaged, and there are checkpoints",
            hint="s2s train --force keeps them aside and starts afresh",
        )
    if found.key == wanted.key or aside(layout, wanted.key).exists():
        return
    step = step_of(done[-1])
    changed = "".join(f"\n  {line}" for line in changes(found, config, layout))
    raise ConfigError(
        f"{folder} holds a training that stopped at step {step} and had other "
        f"settings:{changed}",
        hint="set them back, and s2s train goes on; s2s train --fork goes on from "
        f"step {step} with the new ones; s2s train --force keeps that training aside "
        "and starts afresh",
    )


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
    worth = (folder / MANIFEST).exists() or checkpoints(folder / "checkpoints")
    return _UNKNOWN if worth else None

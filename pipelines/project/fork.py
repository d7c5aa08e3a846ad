"""`s2s train --fork`: a training goes on from another one's newest checkpoint.

Its first checkpoint is written here, with the position that the new settings give it;
from then on it is a training like any other. The earlier one is kept as it is.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from pipelines.artifacts.checkpoint import (
    TensorBundle,
    newest_resumable,
    point_to,
    read_model,
    read_trainer,
    write_checkpoint,
)
from pipelines.artifacts.files import staged
from pipelines.artifacts.layout import (
    CHECKPOINTS,
    LATEST,
    MODEL_INFO,
    RUN,
    TEXT,
    Layout,
)
from pipelines.artifacts.run_record import (
    ForkedFrom,
    RunRecord,
    read_record,
    write_record,
)
from pipelines.config import Config
from pipelines.data.batching import epoch_batches
from pipelines.data.dataset import ParallelDataset
from pipelines.errors import ConfigError, CorruptArtifactError, UsageError
from pipelines.project import plan
from pipelines.project.runs import (
    NO_SHAPES,
    PLANNING,
    aside,
    changes,
    move_aside,
)
from pipelines.text.pipeline import TextPipeline
from pipelines.trainer.schedule import last_step
from pipelines.trainer.train_state import TrainState

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Fork:
    """A training to go on from, and how the one that goes on differs.

    Attributes:
        parent: The checkpoint.
        record: Of the run it belongs to.
        changes: One line for each change.
    """

    parent: Path
    record: RunRecord
    changes: tuple[str, ...]


def find_fork(config: Config, layout: Layout) -> Fork:
    """Find what `--fork` goes on from, before anything is changed.

    Raises:
        UsageError: There is nothing to go on from, or nothing has changed.
        ConfigError: A setting changed on which the weights depend.
        CorruptArtifactError: There are checkpoints, and none is sound.
    """
    folder = layout.train
    record = read_record(folder)
    parent = newest_resumable(folder / CHECKPOINTS)
    if parent is None:
        raise UsageError(
            f"--fork: {folder} holds no checkpoint to go on from",
            hint="s2s train begins a training",
        )
    if record is None:
        raise CorruptArtifactError(
            f"{folder / RUN} is missing or damaged, so that the settings of "
            "the checkpoints are not known",
            hint="s2s train --force keeps them aside and starts afresh",
        )
    found = changes(record, config, layout)
    if not found:
        raise UsageError(
            f"--fork: {folder} holds a training with these very settings",
            hint="s2s train goes on with it",
        )
    _require_shapes(parent, config)
    return Fork(parent, record, tuple(found))


def carry_out(fork: Fork, config: Config, layout: Layout) -> None:
    """Make `train/` the folder of a training that goes on from `fork.parent`.

    Raises:
        ConfigError: The vocabularies are others, or nothing is left to train.
    """
    _require_vocabularies(fork, layout)
    model, trainer = read_model(fork.parent), read_trainer(fork.parent)
    wanted = plan.wanted_run(config, layout)
    position = _position(fork, TrainState.from_info(trainer.info), config, layout)
    forked_from = ForkedFrom(fork.record.key, position.step)
    record = RunRecord(wanted.settings, wanted.inputs, forked_from)
    new = aside(layout, record.key)
    if new.exists():
        move_aside(new, f"{layout.train.name}.kept-{record.key}")
    with staged(new) as folder:
        path = write_checkpoint(
            folder / CHECKPOINTS,
            position.step,
            model=_model(model, trainer, config),
            trainer=_trainer(fork, model, trainer, position, config),
            text=layout.preprocess / TEXT,
            run=record.key,
        )
        point_to(path, LATEST)
        write_record(folder, record)
    # Killed from here on, training takes up the new folder by its name.
    move_aside(layout.train, aside(layout, fork.record.key).name)
    new.rename(layout.train)
    log.info("forked from run %s: %s", forked_from, "; ".join(fork.changes))


def _require_shapes(parent: Path, config: Config) -> None:
    before = json.loads((parent / MODEL_INFO).read_bytes())["model"]
    now = config.model.model_dump(mode="json")
    names = (set(before) | set(now)).difference(NO_SHAPES)
    changed = [
        f"\n  model.{name}: {before.get(name)!r} -> {now.get(name)!r}"
        for name in sorted(names)
        if before.get(name) != now.get(name)
    ]
    if changed:
        raise ConfigError(
            f"--fork: the weights of {parent.name} have other shapes:"
            + "".join(changed),
            hint="set them back, or start afresh with s2s train --force",
        )


def _require_vocabularies(fork: Fork, layout: Layout) -> None:
    before = TextPipeline.load(fork.parent / TEXT)
    now = TextPipeline.load(layout.preprocess / TEXT)
    sides = {
        "source": (before.source_vocab, now.source_vocab),
        "target": (before.target_vocab, now.target_vocab),
    }
    changed = [
        f"{side} vocabulary: {len(old)} -> {len(new)} entries"
        for side, (old, new) in sides.items()
        if old.sha256 != new.sha256
    ]
    changed += [
        f"{name} changed"
        for name in sorted({*before.models, *now.models})
        if before.models.get(name) != now.models.get(name)
    ]
    if changed:
        lines = [*changed, "by", *(f"  {line}" for line in fork.changes)]
        raise ConfigError(
            f"--fork: the weights of {fork.parent.name} belong to other "
            "vocabularies:" + "".join(f"\n  {line}" for line in lines),
            hint="set back what decides the vocabularies, or start afresh with "
            "s2s train --force",
        )


def _position(
    fork: Fork, before: TrainState, config: Config, layout: Layout
) -> TrainState:
    """Where the new training stands in its own plan of batches."""
    position = before.at_fork()
    wanted = plan.wanted_run(config, layout)
    causes = [
        name
        for name in sorted(PLANNING)
        if fork.record.settings.get(name) != wanted.settings.get(name)
    ]
    if fork.record.inputs != wanted.inputs:
        causes.append("the data")
    dataset = ParallelDataset.open(layout.binarize, "train")
    lengths = dataset.src_lengths, dataset.tgt_lengths
    steps_per_epoch = len(epoch_batches(*lengths, config.train, 0))
    if causes:
        batches = epoch_batches(*lengths, config.train, before.epoch)
        position = position.rebatched(
            steps_per_epoch=steps_per_epoch, num_batches=len(batches)
        )
        log.info(
            "the batches are others (%s): going on at the same part of the epoch, "
            "batch %d of %d of epoch %d",
            ", ".join(causes),
            position.batch + 1,
            len(batches),
            position.epoch + 1,
        )
    _require_rest(position, steps_per_epoch, config)
    return position


def _require_rest(position: TrainState, steps_per_epoch: int, config: Config) -> None:
    last = last_step(
        config.train, steps_per_epoch=steps_per_epoch, ahead=position.ahead
    )
    if position.step >= last:
        epochs = position.schedule_step / steps_per_epoch
        raise ConfigError(
            f"--fork: nothing is left to train: step {position.step} is at epoch "
            f"{epochs:.2f}; train.max_epochs is {config.train.max_epochs:g}, "
            f"train.max_steps {config.train.max_steps}",
            hint="raise train.max_epochs, or train.max_steps where it is not 0",
        )


def _model(model: TensorBundle, trainer: TensorBundle, config: Config) -> TensorBundle:
    """What translates: the average where one is kept on, else the raw weights."""
    raw = _raw_weights(model, trainer)
    info = {**model.info, "model": config.model.model_dump(), "validation": None}
    return TensorBundle(model.tensors if config.train.ema_decay else raw, info)


def _trainer(
    fork: Fork,
    model: TensorBundle,
    trainer: TensorBundle,
    position: TrainState,
    config: Config,
) -> TensorBundle:
    before, now = fork.record.settings.get("train.optimizer"), config.train.optimizer
    state = _named(trainer, "optimizer.")
    if before != now:
        log.info("the optimizer was %s and is %s: its state is dropped", before, now)
        state = {}
    if config.train.ema_decay:
        raw = _raw_weights(model, trainer)
        state |= {f"raw.{name}": tensor for name, tensor in raw.items()}
    return TensorBundle(state, position.to_info())


def _raw_weights(model: TensorBundle, trainer: TensorBundle) -> Mapping[str, Tensor]:
    """The weights without their average, where the earlier training kept one."""
    raw = _named(trainer, "raw.")
    return {name.removeprefix("raw."): x for name, x in raw.items()} or model.tensors


def _named(part: TensorBundle, prefix: str) -> dict[str, Tensor]:
    return {name: x for name, x in part.tensors.items() if name.startswith(prefix)}

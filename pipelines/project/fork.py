"""`s2s train --fork`: a new training that resumes from an earlier one's checkpoint.

Its first checkpoint is written here, with the train state that the new settings give
it; from then on it is a training like any other. The earlier one is kept as it is.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from pipelines.artifacts.checkpoint import (
    TensorBundle,
    read_model,
    read_trainer,
    write_checkpoint,
)
from pipelines.artifacts.checkpoint_folder import newest_resumable, point_to, read_info
from pipelines.artifacts.files import staged
from pipelines.artifacts.layout import (
    CHECKPOINTS,
    LATEST,
    MODEL_INFO,
    RUN,
    SOURCE_VOCAB,
    TARGET_VOCAB,
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
from pipelines.project.run_identity import BATCHING, SHAPELESS
from pipelines.project.runs import move_run
from pipelines.project.stages import setting_changes, wanted_run
from pipelines.project.status import run_changes
from pipelines.text.pipeline import SETTINGS_PART, TextPipeline
from pipelines.trainer.schedule import last_step
from pipelines.trainer.train_state import TrainState

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Fork:
    """The checkpoint to fork from, and how the new training differs.

    Attributes:
        parent: The checkpoint.
        record: Record of the run it belongs to.
        changes: One line for each change.
    """

    parent: Path
    record: RunRecord
    changes: tuple[str, ...]


def find_fork(config: Config, layout: Layout) -> Fork:
    """Find the checkpoint that `--fork` resumes from, before any file is changed.

    Raises:
        UsageError: There is no checkpoint, or no setting has changed.
        ConfigError: A setting changed on which the shapes of the weights depend.
        CorruptArtifactError: There are checkpoints, and none is sound.
    """
    folder = layout.train
    record = read_record(folder)
    parent = newest_resumable(folder / CHECKPOINTS)
    if parent is None:
        raise UsageError(
            f"--fork: {folder} holds no checkpoint to resume from",
            hint="s2s train begins a training",
        )
    if record is None:
        raise CorruptArtifactError(
            f"{folder / RUN} is missing or damaged, so that the settings of "
            "the checkpoints are not known",
            hint="s2s train --force keeps them aside and starts afresh",
        )
    changes = run_changes(record, config, layout)
    if not changes:
        raise UsageError(
            f"--fork: {folder} holds a training with these very settings",
            hint="s2s train resumes it",
        )
    _require_shapes(parent, config)
    return Fork(parent, record, tuple(changes))


def make_fork(fork: Fork, config: Config, layout: Layout) -> None:
    """Make `train/` the folder of a new training that resumes from `fork.parent`.

    Raises:
        ConfigError: The vocabularies differ, or no update is left to make.
    """
    _require_vocabularies(fork, layout)
    wanted = wanted_run(config, layout)
    model, trainer = read_model(fork.parent), read_trainer(fork.parent)
    before = TrainState.from_info(trainer.info)
    state = _forked_state(fork, before, wanted, config, layout)
    forked_from = ForkedFrom(fork.record.key, state.step)
    record = replace(wanted, forked_from=forked_from)
    new = layout.train_aside(record.key)
    if new.exists():
        move_run(new, layout.train_kept(record.key))
    with staged(new) as folder:
        path = write_checkpoint(
            folder / CHECKPOINTS,
            state.step,
            model=_forked_model(model, trainer, config),
            trainer=_forked_trainer(fork, model, trainer, state, config),
            text=layout.preprocess / TEXT,
            run=record.key,
        )
        point_to(path, LATEST)
        write_record(folder, record)
    # Killed from here on, s2s train finds the new folder by its name.
    move_run(layout.train, layout.train_aside(fork.record.key))
    new.rename(layout.train)
    log.info("forked from run %s: %s", forked_from, "; ".join(fork.changes))


def _require_shapes(parent: Path, config: Config) -> None:
    wanted = config.model.model_dump(mode="json")
    models = read_info(parent / MODEL_INFO)["model"], wanted
    before, now = ({f"model.{k}": v for k, v in model.items()} for model in models)
    changes = setting_changes(before, now, free=SHAPELESS)
    if changes:
        raise ConfigError(
            f"--fork: the weights of {parent.name} have other shapes:"
            + "".join(f"\n  {line}" for line in changes),
            hint="set them back, or start afresh with s2s train --force",
        )


def _require_vocabularies(fork: Fork, layout: Layout) -> None:
    before = TextPipeline.load(fork.parent / TEXT)
    now = TextPipeline.load(layout.preprocess / TEXT)
    details = {
        SOURCE_VOCAB: "source vocabulary: "
        f"{len(before.source_vocab)} -> {len(now.source_vocab)} entries",
        TARGET_VOCAB: "target vocabulary: "
        f"{len(before.target_vocab)} -> {len(now.target_vocab)} entries",
    }
    changed = [
        details.get(name, f"{name} changed")
        for name in before.differences(now)
        if name != SETTINGS_PART
    ]
    if changed:
        lines = [*changed, "by", *(f"  {line}" for line in fork.changes)]
        raise ConfigError(
            f"--fork: the weights of {fork.parent.name} belong to other "
            "vocabularies:" + "".join(f"\n  {line}" for line in lines),
            hint="set back what decides the vocabularies, or start afresh with "
            "s2s train --force",
        )


def _forked_state(
    fork: Fork, before: TrainState, wanted: RunRecord, config: Config, layout: Layout
) -> TrainState:
    """The state of the new training, counted in its own batches."""
    state = before.at_fork()
    causes = [
        name
        for name in sorted(BATCHING)
        if fork.record.settings.get(name) != wanted.settings.get(name)
    ]
    if fork.record.inputs != wanted.inputs:
        causes.append("the data")
    dataset = ParallelDataset.open(layout.binarize, "train")
    lengths = dataset.src_lengths, dataset.tgt_lengths
    steps_per_epoch = len(epoch_batches(*lengths, config.train, 0))
    if causes:
        batches = epoch_batches(*lengths, config.train, before.epoch)
        state = state.rebatched(
            steps_per_epoch=steps_per_epoch, num_batches=len(batches)
        )
        log.info(
            "the batches differ (%s): resuming at the same fraction of the epoch, "
            "batch %d of %d of epoch %d",
            ", ".join(causes),
            state.batch + 1,
            len(batches),
            state.epoch + 1,
        )
    _require_steps_left(state, steps_per_epoch, config)
    return state


def _require_steps_left(
    state: TrainState, steps_per_epoch: int, config: Config
) -> None:
    last = last_step(config.train, steps_per_epoch=steps_per_epoch, ahead=state.ahead)
    if state.step >= last:
        epochs = state.schedule_step / steps_per_epoch
        raise ConfigError(
            f"--fork: nothing is left to train: step {state.step} is at epoch "
            f"{epochs:.2f}; train.max_epochs is {config.train.max_epochs:g}, "
            f"train.max_steps {config.train.max_steps}",
            hint="raise train.max_epochs, or train.max_steps where it is not 0",
        )


def _forked_model(
    model: TensorBundle, trainer: TensorBundle, config: Config
) -> TensorBundle:
    """The model of the first checkpoint: averaged weights only with `ema_decay`."""
    weights = model.tensors if config.train.ema_decay else _raw_weights(model, trainer)
    info = {**model.info, "model": config.model.model_dump(), "validation": None}
    return TensorBundle(weights, info)


def _forked_trainer(
    fork: Fork,
    model: TensorBundle,
    trainer: TensorBundle,
    state: TrainState,
    config: Config,
) -> TensorBundle:
    before, now = fork.record.settings.get("train.optimizer"), config.train.optimizer
    tensors = _with_prefix(trainer, "optimizer.")
    if before != now:
        log.info("the optimizer was %s and is %s: its state is dropped", before, now)
        tensors = {}
    if config.train.ema_decay:
        raw = _raw_weights(model, trainer)
        tensors |= {f"raw.{name}": tensor for name, tensor in raw.items()}
    return TensorBundle(tensors, state.to_info())


def _raw_weights(model: TensorBundle, trainer: TensorBundle) -> Mapping[str, Tensor]:
    """The weights that are not averaged."""
    raw = _with_prefix(trainer, "raw.")
    return {name.removeprefix("raw."): x for name, x in raw.items()} or model.tensors


def _with_prefix(bundle: TensorBundle, prefix: str) -> dict[str, Tensor]:
    return {name: x for name, x in bundle.tensors.items() if name.startswith(prefix)}

"""The estimate of one training: its parts put together; writes nothing."""

import logging
import math
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from pipelines.artifacts.layout import TEXT, Layout
from pipelines.config import Config, TrainConfig
from pipelines.data.batching import epoch_batches
from pipelines.errors import OutOfMemoryError
from pipelines.estimate.data import (
    PAPER_PAIRS,
    PAPER_SOURCE_WORDS,
    PAPER_TARGET_WORDS,
    Basis,
    TrainingData,
    read_training_data,
)
from pipelines.estimate.memory import Memory, known_memory
from pipelines.estimate.rate_changes import RateChange, rate_changes
from pipelines.estimate.trial import StepTimer, Trial, largest_batch, run_trial
from pipelines.model.engine.device import (
    choose_device,
    cpu_for_training,
    describe,
    free_memory_bytes,
)
from pipelines.model.engine.precision import choose_precision
from pipelines.model.seq2seq import ParameterCount, Seq2Seq
from pipelines.trainer.schedule import last_step

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Epoch:
    """The data of an epoch and the length of the training.

    Words are source and target tokens together, EOS included.
    """

    basis: Basis
    reason: str
    """Why the data are not known exactly; empty if they are."""
    pairs: int
    words: int
    updates: int
    epochs: float
    """Epochs of the whole training; fewer than max_epochs if max_steps ends it."""
    total_updates: int
    total_words: int


@dataclass(frozen=True, slots=True)
class Speed:
    """The speed of training, measured by a trial."""

    trial_updates: int
    trial_pairs: int
    """Pairs of the largest timed update."""
    trial_s: float
    words_per_s: float
    update_s: float
    """Seconds for an update of the mean size."""
    training_s: float
    """Seconds for all updates, without validations and checkpoints."""


@dataclass(frozen=True, slots=True)
class Disk:
    """The disk space of checkpoints."""

    checkpoint_bytes: int
    num_checkpoints: int
    """Checkpoints at one time at most, with the one being written."""
    total_bytes: int
    free_bytes: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """The estimate of a training before it starts."""

    device: str
    processes: int
    """Processes that share each batch; `memory` is that of one process."""
    precision: str
    vocab_sizes: tuple[int, int]
    """Entries of source and target, special symbols included."""
    parameters: ParameterCount
    epoch: Epoch
    schedule: str
    rate_changes: tuple[RateChange, ...]
    memory: Memory
    disk: Disk
    speed: Speed | None
    not_measured: str
    """Why there was no trial; empty if there was one."""


def estimate(config: Config, layout: Layout, *, processes: int = 1) -> Estimate:
    """Estimate a training; a short trial measures its memory and its speed.

    Args:
        config: The project's settings.
        layout: Its folders.
        processes: Processes that share each batch. The trial makes the steps of one,
            without the exchange of gradients.

    Raises:
        UsageError: The device does not exist or does not support the precision.
        CorpusError: The training text exists and cannot be read.
        ArtifactError: A shard is damaged.
    """
    data = read_training_data(config, layout)
    estimator = _Estimator(config, layout, data, processes)
    if not estimator.memory.fits:
        return estimator.estimate(
            None, "weights and gradients alone need more memory than is free"
        )
    log.info("trying a few updates")
    try:
        with cpu_for_training(estimator.threads):
            return estimator.estimate(estimator.run_trial(), "")
    except OutOfMemoryError as error:
        return estimator.estimate(None, error.message)


def quick_estimate(config: Config, layout: Layout, *, most_bytes: int) -> Estimate:
    """Estimate a training without a trial.

    Args:
        config: The project's settings.
        layout: Its folders.
        most_bytes: Larger files of text are not read.

    Raises:
        As `estimate`.
    """
    data = read_training_data(config, layout, most_bytes=most_bytes)
    reason = "s2s train --dry-run measures it"
    return _Estimator(config, layout, data).estimate(None, reason)


class _Estimator:
    """Estimates a training from its settings, its data and its device."""

    def __init__(
        self, config: Config, layout: Layout, data: TrainingData, processes: int = 1
    ) -> None:
        self._config, self._layout, self._data = config, layout, data
        self._processes = processes
        train = config.train
        self.threads = train.threads
        if processes > 1 and not self.threads:  # as `s2s train --num-gpus` starts them
            self.threads = max(1, (os.cpu_count() or 1) // processes)
        self._device = choose_device(train.device)
        self._precision = choose_precision(train.precision, self._device)
        with torch.device("meta"):
            model = Seq2Seq(config.model, *data.vocab_sizes)
        self._parameters = model.count_parameters()
        batches = epoch_batches(data.src_lengths, data.tgt_lengths, train, 0)
        self._epoch = estimate_epoch(data, len(batches), train)
        self._batches = [pair_ids[::processes] for pair_ids in batches]
        self.memory = known_memory(
            config,
            self._parameters,
            data.load_batch(largest_batch(data, self._batches)).batch,
            free_bytes=free_memory_bytes(self._device),
        )

    def run_trial(self) -> Trial:
        """Make a few train steps and measure them."""
        memory = self.memory
        free_bytes = math.inf if memory.free_bytes is None else memory.free_bytes
        return run_trial(
            StepTimer(self._config, self._data.vocab_sizes, device=self._device),
            self._data,
            self._batches,
            available_bytes=free_bytes - memory.resident_bytes,
        )

    def estimate(self, trial: Trial | None, not_measured: str) -> Estimate:
        """Put the parts of the estimate together."""
        train, epoch, memory = self._config.train, self._epoch, self.memory
        if trial is not None:
            peak_bytes = trial.peak_bytes(memory.batch_words)
            memory = replace(
                memory,
                workspace_bytes=max(0, peak_bytes - memory.gradients_bytes),
                measured_words=trial.measured[-1].words,
                measured_updates=len(trial.measured),
            )
        return Estimate(
            device=describe(self._device),
            processes=self._processes,
            precision=self._precision,
            vocab_sizes=self._data.vocab_sizes,
            parameters=self._parameters,
            epoch=epoch,
            schedule=train.schedule,
            rate_changes=rate_changes(
                train, steps_per_epoch=epoch.updates, total_steps=epoch.total_updates
            ),
            memory=memory,
            disk=_disk(memory, train, self._layout),
            speed=None
            if trial is None
            else estimate_speed(trial, epoch, train, processes=self._processes),
            not_measured=not_measured,
        )


def estimate_epoch(data: TrainingData, num_batches: int, config: TrainConfig) -> Epoch:
    """Count the updates and words of an epoch and of the whole training.

    Unknown data are replaced by the paper's: 12M pairs, 304M and 348M words (Sutskever
    et al. 2014, section 3.1), and an EOS for every sentence.
    """
    pairs, updates = len(data.src_lengths), num_batches
    words = int(data.src_lengths.sum() + data.tgt_lengths.sum())
    if data.basis == "nothing":
        pairs, updates = PAPER_PAIRS, math.ceil(PAPER_PAIRS / config.batch_size)
        words = PAPER_SOURCE_WORDS + PAPER_TARGET_WORDS + 2 * PAPER_PAIRS
    total = last_step(config, steps_per_epoch=updates, ahead=0)
    return Epoch(
        basis=data.basis,
        reason=data.reason,
        pairs=pairs,
        words=words,
        updates=updates,
        epochs=round(total / updates, 4),
        total_updates=total,
        total_words=round(words * total / updates),
    )


def estimate_speed(
    trial: Trial, epoch: Epoch, config: TrainConfig, *, processes: int = 1
) -> Speed:
    """Estimate the time of the training from that of a few train steps."""
    words = epoch.words / epoch.updates
    update_s = trial.step_s(words / processes)
    training_s = epoch.total_updates * update_s
    if config.max_minutes:
        training_s = min(training_s, 60 * config.max_minutes)
    steps = trial.timed or trial.measured
    return Speed(
        trial_updates=len(steps),
        trial_pairs=max(step.pairs for step in steps),
        trial_s=sum(step.elapsed_s for step in steps),
        words_per_s=words / update_s,
        update_s=update_s,
        training_s=training_s,
    )


def _disk(memory: Memory, config: TrainConfig, layout: Layout) -> Disk:
    """Estimate the disk space: weights, average, optimizer state, text pipeline."""
    files = filter(Path.is_file, (layout.preprocess / TEXT).rglob("*"))
    size = memory.resident_bytes + sum(file.stat().st_size for file in files)
    number = config.keep_last + config.keep_best + 1
    return Disk(size, number, size * number, shutil.disk_usage(layout.root).free)

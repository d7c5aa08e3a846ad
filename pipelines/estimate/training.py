"""The estimate of one training, put together from its parts; writes nothing."""

import logging
import math
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch

from pipelines.artifacts.layout import TEXT, Layout
from pipelines.config import Config, TrainConfig
from pipelines.data.batch import Batch
from pipelines.data.batching import epoch_batches
from pipelines.estimate.data import (
    PAPER_PAIRS,
    PAPER_SOURCE_WORDS,
    PAPER_TARGET_WORDS,
    ExpectedData,
    expect_data,
)
from pipelines.estimate.figures import (
    Disk,
    Epoch,
    Estimate,
    Memory,
    Parameters,
    Speed,
)
from pipelines.estimate.memory import Engine, Load, estimate_memory
from pipelines.estimate.rate_changes import rate_changes
from pipelines.estimate.trial import try_out
from pipelines.model.engine.device import (
    choose_device,
    cpu_for_training,
    describe,
    free_memory_bytes,
)
from pipelines.model.engine.matmul import choose_matmul
from pipelines.model.engine.precision import choose_precision
from pipelines.model.seq2seq import ParameterCount, Seq2Seq
from pipelines.trainer.epochs import last_step

log = logging.getLogger(__name__)

_FLOAT32_BYTES = 4
_FIRST_WORD = 3
"""Ids below it are special symbols."""


def estimate(config: Config, layout: Layout) -> Estimate:
    """Tell what a training will take, with a short trial of its speed.

    Raises:
        UsageError: The device or the precision is not there.
        CorpusError: The training text is there and cannot be read.
        ArtifactError: A shard is damaged.
    """
    training = _Training(config, layout, expect_data(config, layout))
    memory = training.memory()
    if not memory.fits:
        return training.estimate(memory, no_speed="the free memory would not suffice")
    log.info("timing a few updates")
    with cpu_for_training(config.train.threads):
        speed = training.speed()
    slow = "" if speed else "even a part of an update takes seconds here"
    return training.estimate(memory, speed=speed, no_speed=slow)


def quick_estimate(config: Config, layout: Layout, *, most_bytes: int) -> Estimate:
    """The same without a trial, and without reading files larger than `most_bytes`.

    Raises:
        As `estimate`.
    """
    training = _Training(
        config, layout, expect_data(config, layout, most_bytes=most_bytes)
    )
    return training.estimate(training.memory(), no_speed="s2s train --dry-run times it")


class _Training:
    """A training as it would be: model, batches and device, yet without weights."""

    def __init__(self, config: Config, layout: Layout, data: ExpectedData) -> None:
        self._config, self._layout, self._data = config, layout, data
        self._train = config.train
        self._device = choose_device(config.train.device)
        self._precision = choose_precision(config.train.precision, self._device)
        with torch.device("meta"):
            model = Seq2Seq(config.model, *data.vocab_sizes)
        self._counted = model.count_parameters()
        self._batches = epoch_batches(
            data.src_lengths,
            data.tgt_lengths,
            batch_size=self._train.batch_size,
            max_tokens=self._train.max_batch_tokens,
            seed=self._train.seed,
            epoch=0,
        )
        self._epoch = expected_epoch(data, len(self._batches), self._train)

    def estimate(
        self, memory: Memory, *, speed: Speed | None = None, no_speed: str = ""
    ) -> Estimate:
        """Put the parts together."""
        return Estimate(
            device=describe(self._device),
            precision=self._precision,
            parameters=_parameters(self._counted, self._data.vocab_sizes),
            epoch=self._epoch,
            schedule=self._train.schedule,
            rate_changes=rate_changes(
                self._train,
                steps_per_epoch=self._epoch.updates,
                total_steps=self._epoch.total_updates,
            ),
            memory=memory,
            disk=expected_disk(self._counted, self._train, self._layout),
            speed=speed,
            no_speed=no_speed,
        )

    def memory(self) -> Memory:
        """What the batch of the most tokens needs."""
        lengths = self._data.src_lengths + self._data.tgt_lengths
        largest = max(self._batches, key=lambda numbers: int(lengths[numbers].sum()))
        dtype = choose_matmul(self._train.precision, self._device).dtype
        return estimate_memory(
            self._config.model,
            self._train,
            self._counted,
            Load.of(self._data.planned(largest).batch),
            tgt_vocab_size=self._data.vocab_sizes[1],
            engine=Engine(self._device, dtype, rounds=self._precision == "bf16"),
            free_bytes=free_memory_bytes(self._device),
        )

    def speed(self) -> Speed | None:
        """Time a few updates, the first ones of the first epoch, if time allows."""

        def batch(number: int, share: int) -> Batch:
            numbers = self._batches[number % len(self._batches)]
            return self._data.planned(numbers[::share]).batch

        found = try_out(
            self._config.model,
            self._train,
            self._data.vocab_sizes,
            batch,
            device=self._device,
        )
        if found is None:
            return None
        words = self._epoch.words / self._epoch.updates
        update_s = found.update_s(words)
        training_s = self._epoch.total_updates * update_s
        if self._train.max_minutes:
            training_s = min(training_s, 60 * self._train.max_minutes)
        return Speed(
            trial_updates=found.num_updates,
            trial_pairs=found.num_pairs,
            trial_words=found.num_words,
            trial_s=found.elapsed_s,
            words_per_s=words / update_s,
            update_s=update_s,
            training_s=training_s,
        )


def expected_epoch(data: ExpectedData, num_batches: int, config: TrainConfig) -> Epoch:
    """Updates and words of an epoch and of the whole training.

    Where nothing is known of the data the paper's take their place: 12M pairs, 304M and
    348M words (Sutskever et al. 2014, section 3.1), and an EOS for every sentence.
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


def expected_disk(counted: ParameterCount, config: TrainConfig, layout: Layout) -> Disk:
    """Weights, optimizer state and, beside an average, the raw weights; float32."""
    copies = 1 + (0 if config.optimizer == "sgd" else 2) + (config.ema_decay > 0)
    text = _folder_bytes(layout.preprocess / TEXT)
    size = _FLOAT32_BYTES * counted.total * copies + text
    number = config.keep_last + config.keep_best + 1
    return Disk(size, number, size * number, _free_bytes(layout.root))


def _parameters(counted: ParameterCount, vocab_sizes: Sequence[int]) -> Parameters:
    return Parameters(
        source_vocabulary=vocab_sizes[0],
        target_vocabulary=vocab_sizes[1],
        source_embeddings=counted.source_embedding,
        target_embeddings=counted.target_embedding,
        encoder=counted.encoder,
        decoder=counted.decoder,
        output=counted.output,
        projection=counted.projection,
        peepholes=counted.peephole,
        biases=counted.bias,
        recurrent=counted.recurrent,
        without_biases=counted.without_biases,
        total=counted.total,
    )


def _folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free

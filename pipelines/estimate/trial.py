"""A trial: real train steps on this device, whose memory and time are measured.

The model has the configured size and random weights; the learning rate is 0.0, and
nothing is written. The cost of a step that would take long is extrapolated from smaller
ones.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from pipelines.config import Config
from pipelines.data.dataset import PairIds
from pipelines.data.loader import LoadedBatch
from pipelines.distributed.process_group import DistributedContext
from pipelines.errors import OutOfMemoryError
from pipelines.estimate.data import TrainingData
from pipelines.model.loss import CPU_CHUNK_ROWS
from pipelines.model.seq2seq import Seq2Seq
from pipelines.trainer.optimizer import prepare_state
from pipelines.trainer.train_step import TrainStep
from pipelines.wording import plural

_TOTAL_S = 10.0
"""No step starts that would end later, as extrapolated from earlier steps."""
_SECOND_S = 20.0
"""The same limit for the second step: one step says little about larger batches."""
_WHOLE_BATCHES_S = 3.0
"""Most time for batches of the first epoch."""
_WARM_UP_SHARE = 8
"""The first step, which is not measured, has one of so many pairs."""
_MARGIN = 1.05
"""Factor of extrapolated memory, which was 0.95 to 1.07 of the measured memory."""
_KINETO_SILENT = "6"
"""A log level above all those of torch's profiler, which logs when it starts."""


class TimedStep(NamedTuple):
    """The size, time and memory of a train step."""

    pairs: int
    words: int
    """Source and target tokens, EOS included."""
    elapsed_s: float
    peak_bytes: int = 0
    """Memory besides weights, their average and optimizer state; 0 if not measured."""


@dataclass(frozen=True, slots=True)
class Trial:
    """The train steps of a trial."""

    measured: Sequence[TimedStep]
    """Steps on growing parts of the largest batch, up to all of it if time allowed."""
    timed: Sequence[TimedStep] = ()
    """Steps on whole batches of the first epoch, if time allowed."""

    def peak_bytes(self, num_words: int) -> int:
        """Estimate the memory of a step with so many words."""
        peaks = [(step.words, step.peak_bytes) for step in self.measured]
        margin = _MARGIN if num_words > self.measured[-1].words else 1.0
        return round(margin * _extrapolate(peaks, num_words))

    def step_s(self, num_words: float) -> float:
        """Estimate the time of a step with so many words."""
        if self.timed:
            total_s = sum(step.elapsed_s for step in self.timed)
            return num_words * total_s / sum(step.words for step in self.timed)
        times = [(step.words, step.elapsed_s) for step in self.measured]
        return _extrapolate(times, num_words)


class StepTimer:
    """Times train steps of a model of the configured size, and measures their memory.

    Attributes:
        train_step: The train step of a real training.
    """

    def __init__(
        self, config: Config, vocab_sizes: tuple[int, int], *, device: torch.device
    ) -> None:
        with torch.device("meta"):
            model = Seq2Seq(config.model, *vocab_sizes)
        model = model.to_empty(device=device).train()
        init_range = config.model.init_range
        for parameter in model.parameters():
            nn.init.uniform_(parameter, -init_range, init_range)
        self.train_step = TrainStep(model, config.train, DistributedContext())
        prepare_state(self.train_step.optimizer)
        self._device, self._on_gpu = device, device.type == "cuda"
        self._base_bytes = torch.cuda.memory_allocated(device) if self._on_gpu else 0

    def time(self, batch: LoadedBatch) -> TimedStep:
        """Make a step and time it.

        Raises:
            OutOfMemoryError: The step ran out of memory.
        """
        pairs = len(batch.pair_ids)
        self._synchronize()
        started = time.perf_counter()
        try:
            self.train_step(batch, step=0, learning_rate=0.0)
            self._synchronize()
        except OutOfMemoryError as error:
            message = f"an update of {plural(pairs, 'pair')} ran out of memory"
            raise OutOfMemoryError(message, hint=error.hint) from error
        return TimedStep(pairs, batch.num_words, time.perf_counter() - started)

    def measure(self, batch: LoadedBatch) -> TimedStep:
        """Make a step, time it and measure its memory; raises as `time`."""
        if self._on_gpu:
            torch.cuda.reset_peak_memory_stats(self._device)
            step = self.time(batch)
            peak = torch.cuda.max_memory_allocated(self._device) - self._base_bytes
            return step._replace(peak_bytes=peak)
        os.environ.setdefault("KINETO_LOG_LEVEL", _KINETO_SILENT)
        with torch.autograd.profiler.profile(profile_memory=True) as profiler:
            step = self.time(batch)
        return step._replace(peak_bytes=_peak_bytes(profiler))

    def _synchronize(self) -> None:
        if self._on_gpu:
            torch.cuda.synchronize(self._device)


def run_trial(
    timer: StepTimer,
    data: TrainingData,
    batches: Sequence[PairIds],
    *,
    available_bytes: float,
) -> Trial:
    """Make train steps on parts of the largest batch, then on ordinary batches.

    Args:
        timer: Makes the steps and times them.
        data: The training pairs.
        batches: Pair ids of the batches of the first epoch.
        available_bytes: Memory besides weights, their average and optimizer state; no
            step starts that would need more, as extrapolated from earlier steps.

    Raises:
        OutOfMemoryError: A step ran out of memory.
    """
    parts = parts_of_batch(largest_batch(data, batches), data)
    started = time.perf_counter()
    timer.time(data.load_batch(parts[0][::_WARM_UP_SHARE]))
    measured = [timer.measure(data.load_batch(parts[0]))]
    for part in parts[1:]:
        batch, trial = data.load_batch(part), Trial(measured)
        too_large = trial.peak_bytes(batch.num_words) > available_bytes
        limit_s = _SECOND_S if len(measured) == 1 else _TOTAL_S
        end = time.perf_counter() + trial.step_s(batch.num_words)
        if too_large or end > started + limit_s:
            return trial
        measured.append(timer.measure(batch))
    timed: list[TimedStep] = []
    limit = min(started + _TOTAL_S, time.perf_counter() + _WHOLE_BATCHES_S)
    for pair_ids in batches:
        batch = data.load_batch(pair_ids)
        step_s = Trial(measured, timed).step_s(batch.num_words)
        if time.perf_counter() + step_s > limit:
            break
        timed.append(timer.time(batch))
    return Trial(measured, timed)


def largest_batch(data: TrainingData, batches: Sequence[PairIds]) -> PairIds:
    """Find the batch with the most words."""
    lengths = data.src_lengths + data.tgt_lengths
    return max(batches, key=lambda pair_ids: int(lengths[pair_ids].sum()))


def parts_of_batch(pair_ids: PairIds, data: TrainingData) -> list[PairIds]:
    """Cut a batch into growing parts, the last of which is all of it.

    On a CPU the softmax splits target tokens into equal chunks of up to
    `CPU_CHUNK_ROWS`. The first part just fills a chunk; the second is the first twice,
    two chunks of the same size. From one to the other memory grows as it does for
    larger batches.
    """
    pair_ids = np.random.default_rng(1).permutation(pair_ids)  # mix the lengths
    ends = data.tgt_lengths[pair_ids].cumsum()
    size = max(1, int(np.searchsorted(ends, CPU_CHUNK_ROWS)))
    first = pair_ids[:size]
    parts = [first, np.concatenate([first, first])]
    smaller = [part for part in parts if data.tgt_lengths[part].sum() < ends[-1]]
    return [*smaller, pair_ids]


def _peak_bytes(profiler: torch.autograd.profiler.profile) -> int:
    """Return the most bytes allocated at once while a profiler ran."""
    assert profiler.kineto_results is not None, "the profiler has run"
    changes = sorted(
        (event.start_ns(), event.nbytes())  # type: ignore[attr-defined] # no stub
        for event in profiler.kineto_results.events()
        if event.name() == "[memory]"
    )
    return max(accumulate(change for _, change in changes), default=0)


def _extrapolate(points: Sequence[tuple[int, float]], num_words: float) -> float:
    """Extend the line through the first and last point; a single one joins zero."""
    (first_words, first), (words, value) = points[0], points[-1]
    slope = value / words
    if words > first_words:
        slope = min(slope, max(0.0, (value - first) / (words - first_words)))
    return value + slope * (num_words - words)

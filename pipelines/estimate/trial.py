"""Real train steps on this device: the memory and the time that they take.

The model has the configured size and random weights; the learning rate is 0.0, and
nothing is written. A step that would take long is not made: its cost is extrapolated
from smaller ones.
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
from pipelines.estimate.data import ExpectedData
from pipelines.model.loss import CPU_CHUNK_ROWS
from pipelines.model.seq2seq import Seq2Seq
from pipelines.trainer.optimizer import prepare_state
from pipelines.trainer.train_step import TrainStep
from pipelines.wording import plural

_TOTAL_S = 10.0
"""No step starts that would end later, as far as the steps before it tell."""
_SECOND_S = 20.0
"""The same for the second step: a single one says little about larger batches."""
_WHOLE_BATCHES_S = 3.0
"""Most time for batches of the first epoch."""
_WARM_UP_SHARE = 8
"""The first step, which is not measured, takes one pair of so many."""
_MARGIN = 1.05
"""Added to extrapolated memory, which was 0.95 to 1.07 of what was then measured."""
_KINETO_SILENT = "6"
"""A log level above all those of torch's profiler, which logs when it starts."""


class Step(NamedTuple):
    """A train step that was made."""

    pairs: int
    words: int
    """Source and target tokens, EOS included."""
    elapsed_s: float
    peak_bytes: int = 0
    """Memory besides weights, their average and optimizer state; 0 if not measured."""


@dataclass(frozen=True, slots=True)
class Trial:
    """The train steps that were made."""

    measured: Sequence[Step]
    """On growing parts of the largest batch, up to all of it if there was time."""
    timed: Sequence[Step] = ()
    """On whole batches of the first epoch, if there was time."""

    def peak_bytes(self, num_words: int) -> int:
        """Estimate the memory of a step of the shape that was measured."""
        peaks = [(step.words, step.peak_bytes) for step in self.measured]
        margin = _MARGIN if num_words > self.measured[-1].words else 1.0
        return round(margin * _extrapolate(peaks, num_words))

    def step_s(self, num_words: float) -> float:
        """Estimate the time of a step."""
        if self.timed:
            total_s = sum(step.elapsed_s for step in self.timed)
            return num_words * total_s / sum(step.words for step in self.timed)
        times = [(step.words, step.elapsed_s) for step in self.measured]
        return _extrapolate(times, num_words)


class TrialTrainer:
    """Makes train steps with a model of the configured size.

    Attributes:
        learner: What training makes its steps with.
    """

    def __init__(
        self, config: Config, vocab_sizes: tuple[int, int], *, device: torch.device
    ) -> None:
        with torch.device("meta"):
            model = Seq2Seq(config.model, *vocab_sizes)
        model = model.to_empty(device=device).train()
        span = config.model.init_range
        for parameter in model.parameters():
            nn.init.uniform_(parameter, -span, span)
        self.learner = TrainStep(model, config.train, DistributedContext())
        prepare_state(self.learner.optimizer)
        self._device, self._on_gpu = device, device.type == "cuda"
        self._base_bytes = torch.cuda.memory_allocated(device) if self._on_gpu else 0

    def time(self, planned: LoadedBatch) -> Step:
        """Make a step and time it.

        Raises:
            OutOfMemoryError: It ran out of memory.
        """
        pairs = len(planned.pair_ids)
        self._synchronize()
        started = time.perf_counter()
        try:
            self.learner(planned, step=0, learning_rate=0.0)
            self._synchronize()
        except OutOfMemoryError as error:
            message = f"an update of {plural(pairs, 'pair')} ran out of memory"
            raise OutOfMemoryError(message, hint=error.hint) from error
        return Step(pairs, planned.num_words, time.perf_counter() - started)

    def measure(self, planned: LoadedBatch) -> Step:
        """Make a step, time it and measure its memory; raises as `time`."""
        if self._on_gpu:
            torch.cuda.reset_peak_memory_stats(self._device)
            step = self.time(planned)
            peak = torch.cuda.max_memory_allocated(self._device) - self._base_bytes
            return step._replace(peak_bytes=peak)
        os.environ.setdefault("KINETO_LOG_LEVEL", _KINETO_SILENT)
        with torch.autograd.profiler.profile(profile_memory=True) as profiler:
            step = self.time(planned)
        return step._replace(peak_bytes=_peak_bytes(profiler))

    def _synchronize(self) -> None:
        if self._on_gpu:
            torch.cuda.synchronize(self._device)


def run_trial(
    trainer: TrialTrainer,
    data: ExpectedData,
    batches: Sequence[PairIds],
    *,
    available_bytes: float,
) -> Trial:
    """Make train steps on parts of the largest batch, then on ordinary batches.

    Args:
        trainer: Makes the steps.
        data: The training pairs.
        batches: Those of the first epoch.
        available_bytes: Memory besides weights, their average and optimizer state; no
            step starts that would need more, as far as the steps before it tell.

    Raises:
        OutOfMemoryError: A step ran out of memory.
    """
    parts = parts_of_batch(largest_batch(data, batches), data)
    started = time.perf_counter()
    trainer.time(data.planned(parts[0][::_WARM_UP_SHARE]))
    measured = [trainer.measure(data.planned(parts[0]))]
    for part in parts[1:]:
        planned, so_far = data.planned(part), Trial(measured)
        too_large = so_far.peak_bytes(planned.num_words) > available_bytes
        limit_s = _SECOND_S if len(measured) == 1 else _TOTAL_S
        end = time.perf_counter() + so_far.step_s(planned.num_words)
        if too_large or end > started + limit_s:
            return so_far
        measured.append(trainer.measure(planned))
    timed: list[Step] = []
    limit = min(started + _TOTAL_S, time.perf_counter() + _WHOLE_BATCHES_S)
    for numbers in batches:
        planned = data.planned(numbers)
        step_s = Trial(measured, timed).step_s(planned.num_words)
        if time.perf_counter() + step_s > limit:
            break
        timed.append(trainer.time(planned))
    return Trial(measured, timed)


def largest_batch(data: ExpectedData, batches: Sequence[PairIds]) -> PairIds:
    """Find the batch of the most words."""
    lengths = data.src_lengths + data.tgt_lengths
    return max(batches, key=lambda numbers: int(lengths[numbers].sum()))


def parts_of_batch(numbers: PairIds, data: ExpectedData) -> list[PairIds]:
    """Cut a batch into growing parts, the last of which is all of it.

    On a CPU the softmax takes target tokens in chunks of up to `CPU_CHUNK_ROWS`, all
    about as large. The first part just fills a chunk; the second is the first twice, so
    that it has two chunks of the same size. Memory grows from one to the other as it
    does from there on.
    """
    numbers = np.random.default_rng(1).permutation(numbers)  # any length in each part
    ends = data.tgt_lengths[numbers].cumsum()
    size = max(1, int(np.searchsorted(ends, CPU_CHUNK_ROWS)))
    first = numbers[:size]
    parts = [first, np.concatenate([first, first])]
    smaller = [part for part in parts if data.tgt_lengths[part].sum() < ends[-1]]
    return [*smaller, numbers]


def _peak_bytes(profiler: torch.autograd.profiler.profile) -> int:
    """Return the most bytes that were allocated at once while a profiler ran."""
    assert profiler.kineto_results is not None, "the profiler has run"
    changes = sorted(
        (event.start_ns(), event.nbytes())  # type: ignore[attr-defined] # no stub
        for event in profiler.kineto_results.events()
        if event.name() == "[memory]"
    )
    return max(accumulate(change for _, change in changes), default=0)


def _extrapolate(points: Sequence[tuple[int, float]], num_words: float) -> float:
    """Follow the line through the first and the last point; a single one and zero."""
    (first_words, first), (words, value) = points[0], points[-1]
    slope = value / words
    if words > first_words:
        slope = min(slope, max(0.0, (value - first) / (words - first_words)))
    return value + slope * (num_words - words)

"""How fast a model trains on this device: a few updates against the clock."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from pipelines.config import ModelConfig, TrainConfig
from pipelines.data.batch import Batch
from pipelines.model.engine.matmul import choose_matmul
from pipelines.model.seq2seq import Seq2Seq
from pipelines.trainer.optimizer import WeightAverage, build_optimizer, update

_TOTAL_S = 10.0
"""Of the whole trial, as far as one can know beforehand."""
_ENOUGH_S = 3.0
_SECOND_S = 5.0
"""An update that takes longer is not followed by a longer one, without which there is
nothing to tell."""
_SHARES = (16, 8, 4, 2, 1)
"""The trial begins with a 16th of a batch and doubles while there is time."""
_FILL_SIZE = 1 << 20

MakeBatch = Callable[[int, int], Batch]
"""(number, share) -> batch `number`, one share-th of its pairs."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What was timed: whole batches, or parts of one where these take long."""

    num_updates: int
    num_pairs: int
    """Of an update."""
    num_words: int
    """Of an update, the largest where they differ."""
    elapsed_s: float
    """Of all updates that were timed."""
    fixed_s: float
    """What an update takes however small its batch; 0 where whole ones were timed."""
    word_s: float
    """What each word adds; source and target, EOS included."""

    def update_s(self, num_words: float) -> float:
        """Seconds of an update with so many words."""
        return self.fixed_s + self.word_s * num_words


class _Timed(NamedTuple):
    pairs: int
    words: int
    elapsed_s: float


def try_out(
    model_config: ModelConfig,
    train_config: TrainConfig,
    vocab_sizes: tuple[int, int],
    make_batch: MakeBatch,
    *,
    device: torch.device,
) -> Trial | None:
    """Train a model of this size for a few updates, which nothing remembers.

    The batch grows up to a whole one, and whole batches are timed. Where there is no
    time for these, a line through the smallest and the largest gives the estimate.

    Returns:
        What was timed; None where there was time for a single size only.
    """
    deadline = time.perf_counter() + _TOTAL_S
    updates = _Updates(model_config, train_config, vocab_sizes, device)
    updates.time(make_batch(0, _SHARES[0]))  # warms up
    grown: list[_Timed] = []
    for share in _SHARES:
        grown.append(updates.time(make_batch(0, share)))
        late = time.perf_counter() + 2 * grown[-1].elapsed_s > deadline
        if late and (len(grown) > 1 or grown[-1].elapsed_s > _SECOND_S):
            break
    else:
        return _mean(_whole_batches(updates, make_batch, deadline))
    return _line(grown) if len(grown) > 1 else None


def _whole_batches(
    updates: "_Updates", make_batch: MakeBatch, deadline: float
) -> list[_Timed]:
    timed: list[_Timed] = []
    end = min(deadline, time.perf_counter() + _ENOUGH_S)
    while not timed or time.perf_counter() + timed[-1].elapsed_s < end:
        timed.append(updates.time(make_batch(len(timed), 1)))
    return timed


def _mean(timed: Sequence[_Timed]) -> Trial:
    elapsed_s = sum(one.elapsed_s for one in timed)
    return Trial(
        num_updates=len(timed),
        num_pairs=round(sum(one.pairs for one in timed) / len(timed)),
        num_words=round(sum(one.words for one in timed) / len(timed)),
        elapsed_s=elapsed_s,
        fixed_s=0.0,
        word_s=elapsed_s / sum(one.words for one in timed),
    )


def _line(timed: Sequence[_Timed]) -> Trial:
    """The line through the smallest and the largest update."""
    small, large = timed[0], timed[-1]
    word_s = large.elapsed_s / large.words
    if large.words > small.words:
        slope = (large.elapsed_s - small.elapsed_s) / (large.words - small.words)
        word_s = min(word_s, max(0.0, slope))
    return Trial(
        num_updates=len(timed),
        num_pairs=large.pairs,
        num_words=large.words,
        elapsed_s=sum(one.elapsed_s for one in timed),
        fixed_s=large.elapsed_s - word_s * large.words,
        word_s=word_s,
    )


class _Updates:
    """A model without a past, and updates of it as training makes them."""

    def __init__(
        self,
        model_config: ModelConfig,
        train_config: TrainConfig,
        vocab_sizes: tuple[int, int],
        device: torch.device,
    ) -> None:
        with torch.device("meta"):
            model = Seq2Seq(model_config, *vocab_sizes)
        self._model = model.to_empty(device=device)
        _fill(self._model, span=model_config.init_range)
        self._model.train()
        self._parameters = list(self._model.parameters())
        self._config, self._device = train_config, device
        self._optimizer = build_optimizer(self._parameters, train_config)
        decay = train_config.ema_decay
        self._average = WeightAverage(self._model, decay=decay) if decay else None

    def time(self, batch: Batch) -> _Timed:
        """Make one update by the clock."""
        self._wait()
        started = time.perf_counter()
        loss, _ = self._model(
            batch.to(self._device),
            choose_matmul(self._config.precision, self._device),
            label_smoothing=self._config.label_smoothing,
        )
        (loss / batch.num_sentences).backward()
        update(
            self._optimizer,
            self._parameters,
            rate=0.0,
            clip_norm=self._config.clip_norm,
        )
        if self._average is not None:
            self._average.update(1)
        self._wait()
        elapsed_s = time.perf_counter() - started
        return _Timed(batch.num_sentences, batch.num_words, elapsed_s)

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


@torch.no_grad()
def _fill(model: Seq2Seq, *, span: float) -> None:
    """Weights of the usual size; chance repeats itself, which takes no time."""
    device = next(model.parameters()).device
    chance = torch.empty(_FILL_SIZE, device=device).uniform_(-span, span)
    for parameter in model.parameters():
        for piece in torch.split(parameter.view(-1), _FILL_SIZE):
            piece.copy_(chance[: len(piece)])

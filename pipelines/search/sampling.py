"""Ancestral sampling: translations drawn from the model instead of searched.

Each row is a draw. Its random numbers are a function of the seed, the sentence and the
draw's number, so a line gets the same draws in any batch, file and process. The
inverse of the cumulative distribution turns them into tokens on the device; the drawn
tokens are fetched once a step.

Shapes: X draws (sentence by sentence), N rows (draws that have not ended), T steps,
V target vocabulary, C tokens to draw from.
"""

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from pipelines.artifacts.vocab import EOS
from pipelines.data.batch import to_device
from pipelines.errors import DivergenceError
from pipelines.search.hypothesis import Hypothesis, best_first
from pipelines.search.settings import SearchSettings
from pipelines.search.topk import NextTokens, TokenChoice, beam_top_k

State = TypeVar("State")

_UNIT = 2.0**40
"""Weight of the likeliest token. Weights are integers, so their sums are exact in any
order; tokens less likely than the likeliest by this factor are never drawn."""
_TEMPERATURES = 1e-30, 1e30
"""Range within which float32 quotients stay finite; at its ends one token is certain,
or all are equally likely."""
_CPU_WEIGHTS, _GPU_WEIGHTS = 1 << 19, 1 << 26
"""Weights computed together."""


@dataclass(frozen=True, slots=True)
class DrawRequest:
    """Random numbers and restrictions of the next draw of each row, on the CPU."""

    uniform_N: Tensor
    """float64 in [0, 1), a random number for each row."""
    banned: tuple[int, ...]
    """Ids that may not be drawn."""
    top_k: int
    """Number of most likely tokens to draw from; 0: all."""
    temperature: float
    """Divides the log-probabilities of the draw."""


class DrawFunction(Protocol[State]):
    """A model or an ensemble, one drawn token at a time; rows are independent."""

    def draw(
        self, tokens_N: Tensor, state: State, request: DrawRequest
    ) -> tuple[NextTokens, State]:
        """Read a token and draw the next one.

        Args:
            tokens_N: int64, the last token of each row; EOS at the start.
            state: As the last call or `select` returned it.
            request: The random numbers, and what to draw from.

        Returns:
            One token for each row [N, 1], with the model's own log-probability (without
            temperature, among all tokens), and the new state.
        """

    def select(self, state: State, rows_N: Tensor) -> State:
        """Select rows (int64) of the state: repeated, reordered or dropped."""


def sample(
    step: DrawFunction[State],
    state: State,
    *,
    sources: Sequence[Sequence[int]],
    max_lengths: Sequence[int],
    settings: SearchSettings,
    device: torch.device,
) -> list[list[Hypothesis]]:
    """Draw translations of several sentences, `nbest` each, independent of one another.

    Each token is drawn from softmax(log-probabilities / temperature), restricted to the
    `top_k` most likely tokens that may be written. PAD is never written, nor EOS before
    `min_length` tokens; at its length limit a draw can only take EOS. A draw from which
    no token is possible stays as it is, unfinished.

    The number of draws changes none of them: the first three draws of `nbest` = 5 are
    those of `nbest` = 3. Repeated translations are kept.

    Args:
        step: The model; its scores of a row must not depend on the other rows.
        state: One row for each sentence.
        sources: Ids of each sentence, from which its random numbers are made.
        max_lengths: Most tokens before EOS, for each sentence; at least `min_length`.
        settings: How to draw.
        device: Where `step` expects tokens and rows.

    Returns:
        The draws of each sentence, best score first. `log_prob` is the model's own, as
        forced decoding computes it; the score is that of the standard search.

    Raises:
        DivergenceError: The model gives NaN.

    Source: Fan et al. 2018, "Hierarchical Neural Story Generation", section 5.4, for
    top-k sampling; Holtzman et al. 2020, "The Curious Case of Neural Text
    Degeneration", section 3, for it and the temperature.
    """
    if not sources:
        return []
    sentence_X = torch.arange(len(sources)).repeat_interleave(settings.nbest)
    limit_X = torch.tensor(max_lengths)[sentence_X]
    uniform_XT = _uniforms(sources, settings, num_steps=max(max_lengths) + 1)
    draws = [_PartialDraw([], []) for _ in range(len(sentence_X))]
    live_N = torch.arange(len(sentence_X))
    tokens_N = torch.full((len(live_N),), EOS, device=device)
    length = 0
    with torch.inference_mode():
        state = step.select(state, to_device(sentence_X, device))
        while True:
            request = DrawRequest(
                uniform_XT[live_N, length],
                settings.banned(length),
                settings.top_k,
                settings.temperature,
            )
            drawn, state = step.draw(tokens_N, state, request)
            at_limit_N = limit_X[live_N] == length
            id_N, log_prob_N = _only_eos_at_the_limit(drawn.fetch(), at_limit_N)
            if log_prob_N.isnan().any():
                raise DivergenceError(
                    "the model's log-probabilities are not numbers (NaN)"
                )
            possible_N = log_prob_N > -torch.inf
            for number, token, log_prob in zip(
                live_N[possible_N].tolist(),
                id_N[possible_N].tolist(),
                log_prob_N[possible_N].tolist(),
                strict=True,
            ):
                draws[number].ids.append(token)
                draws[number].log_probs.append(log_prob)
            rows_N = (possible_N & (id_N != EOS)).nonzero()[:, 0]
            if not len(rows_N):
                return _ranked(draws, settings)
            if len(rows_N) < len(live_N):
                state = step.select(state, to_device(rows_N, device))
            live_N = live_N[rows_N]
            tokens_N = to_device(id_N[rows_N], device)
            length += 1


def draw_tokens(
    values_NV: Tensor,
    uniform_N: Tensor,
    *,
    top_k: int,
    temperature: float,
    max_weights: int | None = None,
) -> TokenChoice:
    """Draw a token for each row from softmax(values / temperature).

    Args:
        values_NV: Log-probabilities up to a constant of each row; float32.
        uniform_N: float64 in [0, 1), a random number for each row.
        top_k: Number of most likely tokens to draw from, ties broken as in
            `beam_top_k`; 0: all.
        temperature: Above 0.
        max_weights: Weights computed together; by default what suits the device.

    Returns:
        One token for each row, [N, 1].
    """
    num_rows, num_ids = values_NV.shape
    largest_N1 = values_NV.amax(1, keepdim=True)
    possible_N1 = largest_N1 != -torch.inf
    largest_N1 = largest_N1.where(possible_N1, 0.0)
    row_N1 = torch.arange(num_rows, device=values_NV.device)[:, None]
    if 0 < top_k < num_ids:
        _, ids_NC, _ = beam_top_k(
            values_NV, -largest_N1[:, 0], [1] * num_rows, count=top_k
        )
        places_N1 = _draw_places(
            values_NV.gather(1, ids_NC), largest_N1, uniform_N, temperature
        )
        return TokenChoice(row_N1, ids_NC.gather(1, places_N1), possible_N1)
    if max_weights is None:
        max_weights = _GPU_WEIGHTS if values_NV.is_cuda else _CPU_WEIGHTS
    block = max(1, max_weights // num_ids)
    ids = [
        _draw_places(
            values_NV[start:end],
            largest_N1[start:end],
            uniform_N[start:end],
            temperature,
        )
        for start, end in itertools.pairwise([*range(0, num_rows, block), num_rows])
    ]
    return TokenChoice(row_N1, torch.cat(ids), possible_N1)


def _draw_places(
    values_NC: Tensor, largest_N1: Tensor, uniform_N: Tensor, temperature: float
) -> Tensor:
    """Draw a column [N, 1] by the inverse of the cumulative distribution."""
    lowest, highest = _TEMPERATURES
    temperature = min(max(temperature, lowest), highest)
    weights_NC = (values_NC - largest_N1).div_(temperature).exp_()
    sums_NC = weights_NC.mul_(_UNIT).long().cumsum(1)
    total_N1 = sums_NC[:, -1:]
    target_N1 = (uniform_N[:, None] * total_N1).long().minimum(total_N1 - 1)
    places_N1 = torch.searchsorted(sums_NC, target_N1, right=True)
    return places_N1.clamp_(max=values_NC.shape[1] - 1)  # NaN leads beyond it


@dataclass(frozen=True, slots=True)
class _PartialDraw:
    """The tokens of a draw so far."""

    ids: list[int]
    log_probs: list[float]

    def hypothesis(self, settings: SearchSettings) -> Hypothesis:
        total = 0.0
        for log_prob in self.log_probs:  # in order, as beam search adds them
            total += log_prob
        finished = self.ids[-1:] == [EOS]
        ids = tuple(self.ids[:-1] if finished else self.ids)
        score = total / settings.norm(max(1, len(self.ids)))
        return Hypothesis(ids, total, score, tuple(self.log_probs), finished)


def _ranked(
    draws: Sequence[_PartialDraw], settings: SearchSettings
) -> list[list[Hypothesis]]:
    """The draws of each sentence, best score first."""
    hypotheses = [draw.hypothesis(settings) for draw in draws]
    return [
        best_first(hypotheses[first : first + settings.nbest])
        for first in range(0, len(hypotheses), settings.nbest)
    ]


def _only_eos_at_the_limit(
    drawn: NextTokens, at_limit_N: Tensor
) -> tuple[Tensor, Tensor]:
    """Ids and log-probabilities; EOS for draws at their limit."""
    id_N, log_prob_N = drawn.id_SC[:, 0], drawn.log_prob_SC[:, 0]
    return (
        id_N.masked_fill(at_limit_N, EOS),
        log_prob_N.where(~at_limit_N, drawn.eos_log_prob_N),
    )


def _uniforms(
    sources: Sequence[Sequence[int]], settings: SearchSettings, *, num_steps: int
) -> Tensor:
    """Generate random numbers in [0, 1), float64 [X, T], for each draw and each step.

    Each draw has a counter-based generator whose key is a hash of the seed, the
    sentence and the draw's number. Its raw bits are the same in every release of NumPy.

    Source: Salmon et al. 2011, "Parallel Random Numbers: As Easy as 1, 2, 3" (Philox).
    """
    bits: list[np.ndarray] = []
    for ids in sources:
        sentence = hashlib.blake2b(f"{settings.seed}|{list(ids)}".encode())
        for number in range(settings.nbest):
            draw = sentence.copy()
            draw.update(f"|{number}".encode())
            key = int.from_bytes(draw.digest()[:16], "little")
            bits.append(np.random.Philox(key=key).random_raw(num_steps))
    return torch.from_numpy((np.stack(bits) >> np.uint64(11)) * 2.0**-53)

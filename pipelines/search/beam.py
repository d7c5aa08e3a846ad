"""Beam search: which hypotheses live, finish and win.

Knows ids only: no model, no words, no files. A `StepFunction` finds the best next
tokens of each sentence and carries a state that is opaque here. They are fetched once a
step, which is the only time the search waits for the device; `BeamState` chooses among
them on the CPU for all sentences at once. Only live hypotheses have rows, so a finished
sentence costs nothing.

Shapes: B sentences, N rows (live hypotheses).
"""

from collections.abc import Sequence
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from pipelines.artifacts.vocab import EOS
from pipelines.data.batch import to_device
from pipelines.search.beam_state import BeamState
from pipelines.search.hypothesis import Hypothesis
from pipelines.search.settings import SearchSettings
from pipelines.search.topk import LiveBeams, NextTokens

State = TypeVar("State")


class StepFunction(Protocol[State]):
    """A model or an ensemble, one token at a time; rows are independent."""

    def __call__(
        self, tokens_N: Tensor, state: State, live: LiveBeams, *, count: int
    ) -> tuple[NextTokens, State]:
        """Read a token and find the best next ones.

        Args:
            tokens_N: int64, the last token of each row; EOS at the start.
            state: As the last call or `select` returned it.
            live: The hypotheses that the rows hold, on the CPU.
            count: Candidates to find for each sentence; fewer where there are fewer.

        Returns:
            The candidates, and the new state.
        """

    def select(self, state: State, rows_N: Tensor) -> State:
        """Select rows (int64) of the state: repeated, reordered or dropped."""


def beam_search(
    step: StepFunction[State],
    state: State,
    *,
    num_sentences: int,
    max_lengths: Sequence[int],
    settings: SearchSettings,
    device: torch.device,
) -> list[list[Hypothesis]]:
    """Find the likeliest translations of several sentences.

    A candidate is a live hypothesis with one more token. Each step looks at the
    candidates in order of log-probability.

    `paper`: the best `beam` candidates are kept. A hypothesis that takes EOS leaves the
    beam and narrows it by one place. Score: the log-probability.

    `standard`: the beam keeps its width. The best `beam` candidates that are not EOS
    stay live; an EOS among the best `beam` candidates finishes its hypothesis. (If the
    beam narrowed, a model that is sure of a long output would lose its places to EOS,
    the second-best token at every step.) Score: log-probability / `norm(length)`.

    With beam 1 both are greedy search: the first EOS ends the sentence.

    Pruning: log-probabilities only fall and no hypothesis outgrows its limit, so a live
    hypothesis can at best reach its log-probability / `norm(limit + 1)`. `standard`
    drops hypotheses that cannot exceed the nbest-th finished score. `paper`, where
    hopeless hypotheses still narrow the beam, ends a sentence when its best hypothesis
    cannot. Neither changes the result, and `nbest` does not change which hypothesis is
    first. The bound also holds with a minimum length, which removes hypotheses and
    makes none longer than its limit.

    PAD is never written, nor EOS before `min_length` tokens. At its length limit a
    hypothesis can only take EOS. If no hypothesis of a sentence can be finished (EOS is
    impossible at the limit, or every token before it), its live ones are returned,
    unfinished.

    Ties: the hypothesis that finished earlier, then the one ranked higher in the beam,
    then the smaller id comes first.

    Args:
        step: The model; its scores of a row must not depend on the other rows.
        state: One row for each sentence.
        num_sentences: B.
        max_lengths: Most tokens before EOS, for each sentence; at least `min_length`.
        settings: How to search.
        device: Where `step` expects tokens and rows.

    Returns:
        At most `nbest` hypotheses for each sentence, best first.

    Raises:
        DivergenceError: The model gives NaN.

    Source: Sutskever et al. 2014, section 3.2.
    """
    least = settings.min_length
    if len(max_lengths) != num_sentences or min(max_lengths, default=least) < least:
        raise ValueError(
            f"max_lengths {max_lengths!r} for {num_sentences} sentences, "
            f"min_length {least}"
        )
    if num_sentences == 0:
        return []
    beams = BeamState(max_lengths, settings)
    tokens_N = torch.full((num_sentences,), EOS, device=device)
    with torch.inference_mode():
        while True:
            candidates, state = step(
                tokens_N, state, beams.live, count=2 * settings.beam
            )
            result = beams.choose(candidates.fetch())
            beams.update(result)
            if not len(result.rows_N):
                return beams.ranked()
            if not _is_identity(result.rows_N, len(tokens_N)):
                state = step.select(state, to_device(result.rows_N, device))
            tokens_N = to_device(result.tokens_N, device)


def _is_identity(rows_N: Tensor, num_rows: int) -> bool:
    return len(rows_N) == num_rows and torch.equal(rows_N, torch.arange(num_rows))

"""Beam search: which hypotheses live, finish and win.

Knows ids only: no model, no words, no files. A `StepFunction` names the best next words
of each row and carries a state that is opaque here. What it names is fetched once a
step, which is the only time the search waits for the device; the choice among these is
made on the CPU for all sentences at once. Only live hypotheses have rows, so a finished
sentence costs nothing.

Shapes: B sentences, S of them still searched, N rows (live hypotheses, sentence by
sentence, best first), C best candidates of a sentence, T tokens so far.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import nlargest
from typing import Protocol, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from pipelines.artifacts.vocab import EOS
from pipelines.data.batch import to_device
from pipelines.errors import DivergenceError
from pipelines.search.settings import SearchSettings
from pipelines.search.topk import Extensions, Live

State = TypeVar("State")


class StepFunction(Protocol[State]):
    """A model, or several, one word at a time; each row independent of the others."""

    def __call__(
        self, tokens_N: Tensor, state: State, live: Live, *, count: int
    ) -> tuple[Extensions, State]:
        """Read a word and find the best words to go on with.

        Args:
            tokens_N: int64, the word each row took last; EOS at the start.
            state: As the last call or `select` left it.
            live: What the rows are, on the CPU.
            count: Candidates to find for each sentence; fewer where there are fewer.

        Returns:
            The candidates, and the new state.
        """

    def select(self, state: State, rows_N: Tensor) -> State:
        """The state of the given rows (int64): repeated, in a new order, or dropped."""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One translation."""

    ids: tuple[int, ...]
    """Without EOS."""
    log_prob: float
    """Sum of natural log-probabilities, that of EOS included when it was taken."""
    score: float
    """What ranked it; the higher the better."""
    token_log_probs: tuple[float, ...]
    """Of each token, EOS included when it was taken; they sum up to `log_prob`."""
    finished: bool
    """It ends with EOS."""


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

    `paper`: of all candidates (each live hypothesis with each word) the `beam` most
    likely are kept; one that takes EOS leaves the beam for good and narrows it by its
    place. Score: the log-probability.

    `standard`: the beam keeps its width. The best `beam` candidates that are not EOS
    live on; an EOS among the best `beam` candidates is a finished hypothesis. (Were the
    beam to narrow, a model that is sure of a long output would lose its places to EOS,
    the second best word at every step.) Score: log-probability / `norm(length)`.

    In both, what cannot win is given up. Log-probabilities only fall and no hypothesis
    grows beyond its limit, so that a live one ends with at most its log-probability /
    `norm(limit + 1)`. Where that is no more than the nbest-th finished score,
    `standard` drops the hypothesis: those that took its place would be worse still.
    `paper`, where hypotheses without hope still narrow the beam, ends the sentence when
    that holds for its best one. Neither changes the result, nor does `nbest` change
    what comes first. A least length changes nothing of this: it takes hypotheses away
    and makes none longer than its limit.

    With beam 1 the first EOS ends the sentence: greedy search.

    PAD is never written, nor EOS before `min_length` tokens. At its length limit a
    hypothesis can only take EOS. Only when none of a sentence's hypotheses can be
    finished (EOS impossible at the limit, or every word before it) are its live ones
    returned, unfinished. Equal scores: the hypothesis that finished earlier, then the
    one ranked higher, then the smaller id.

    Args:
        step: The model; its scores of a row must not depend on the other rows.
        state: One row for each sentence.
        num_sentences: B.
        max_lengths: Most tokens before EOS, for each sentence; at least `min_length`.
        settings: How to search.
        device: Where `step` expects tokens and rows.

    Returns:
        For each sentence at most `nbest` hypotheses, the best first.

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
    beams = _Beams(max_lengths, settings)
    tokens_N = torch.full((num_sentences,), EOS, device=device)
    with torch.inference_mode():
        while True:
            found, state = step(tokens_N, state, beams.live, count=2 * settings.beam)
            rows_N = beams.advance(found.fetch())
            if not len(rows_N):
                return beams.ranked()
            if not _is_identity(rows_N, len(tokens_N)):
                state = step.select(state, to_device(rows_N, device))
            tokens_N = to_device(beams.tokens_N, device)


class _Beams:
    """The live and the finished hypotheses of all sentences, on the CPU."""

    def __init__(self, max_lengths: Sequence[int], settings: SearchSettings) -> None:
        num_sentences = len(max_lengths)
        self.settings = settings
        self.finished: list[list[Hypothesis]] = [[] for _ in max_lengths]
        self.limit_B = torch.tensor(max_lengths)
        self.longest_norm_B = torch.tensor(
            [settings.norm(limit + 1) for limit in max_lengths], dtype=torch.float64
        )
        self.num_finished_B = torch.zeros(num_sentences, dtype=torch.int64)
        self.to_beat_B = torch.full((num_sentences,), -torch.inf, dtype=torch.float64)
        self.active_S = torch.arange(num_sentences)
        self.live = Live(
            torch.zeros(num_sentences, dtype=torch.float64),
            [1] * num_sentences,
            settings.banned(0),
        )
        self.ids_NT = torch.zeros((num_sentences, 0), dtype=torch.int32)
        self.token_log_probs_NT = torch.zeros((num_sentences, 0))
        self.tokens_N = torch.full((num_sentences,), EOS)

    def advance(self, found: Extensions) -> Tensor:
        """Take one more word.

        Args:
            found: The best candidates of each sentence, on the CPU.

        Returns:
            int64: for each row from now on, the row it continues. Empty at the end.
        """
        if found.log_prob_SC.isnan().any():
            raise DivergenceError("the model's log-probabilities are not numbers (NaN)")
        row_SC, id_SC, last_SC = self._at_the_limit(found)
        total_SC, order_SC = (self.live.log_prob_N[row_SC] + last_SC).sort(
            dim=1, descending=True, stable=True
        )
        row_SC, id_SC, last_SC = (
            each.gather(1, order_SC) for each in (row_SC, id_SC, last_SC)
        )
        ends_SC, lives_SC = self._choose(id_SC == EOS, total_SC > -torch.inf)
        self._finish(total_SC, last_SC, row_SC, ends_SC)
        self._keep_unfinished(ends_SC | lives_SC)
        lives_SC = self._can_win(total_SC, lives_SC)
        rows_N: Tensor = row_SC[lives_SC]
        self.tokens_N = id_SC[lives_SC]
        self.ids_NT = torch.cat(
            [self.ids_NT[rows_N], self.tokens_N[:, None].int()], dim=1
        )
        self.token_log_probs_NT = torch.cat(
            [self.token_log_probs_NT[rows_N], last_SC[lives_SC][:, None]], dim=1
        )
        width_S = lives_SC.sum(1)
        self.active_S = self.active_S[width_S > 0]
        self.live = Live(
            log_prob_N=total_SC[lives_SC],
            widths=width_S[width_S > 0].tolist(),
            banned=self.settings.banned(self.ids_NT.shape[1]),
        )
        return rows_N

    def ranked(self) -> list[list[Hypothesis]]:
        """The n-best of each sentence, the best first."""
        return [
            sorted(found, key=lambda hypothesis: -hypothesis.score)[
                : self.settings.nbest
            ]
            for found in self.finished
        ]

    def _at_the_limit(self, found: Extensions) -> tuple[Tensor, Tensor, Tensor]:
        """Rows, ids and log-probabilities, EOS alone where nothing else may follow."""
        row_SC, id_SC, last_SC = found.row_SC, found.id_SC, found.log_prob_SC
        at_limit_S = self.limit_B[self.active_S] == self.ids_NT.shape[1]
        if not at_limit_S.any():
            return row_SC, id_SC, last_SC
        widths = self.live.widths
        slot_SC = torch.arange(max(*widths, row_SC.shape[1])).expand(len(widths), -1)
        width_S1 = torch.tensor(widths)[:, None]
        rows = (width_S1.cumsum(0) - width_S1 + slot_SC).where(slot_SC < width_S1, 0)
        ends = found.eos_log_prob_N[rows].where(slot_SC < width_S1, -torch.inf)
        missing = slot_SC.shape[1] - row_SC.shape[1]
        limited = at_limit_S[:, None]
        return (
            rows.where(limited, F.pad(row_SC, (0, missing))),
            torch.full_like(rows, EOS).where(limited, F.pad(id_SC, (0, missing))),
            ends.where(limited, F.pad(last_SC, (0, missing), value=-torch.inf)),
        )

    def _choose(self, eos_SC: Tensor, possible_SC: Tensor) -> tuple[Tensor, Tensor]:
        """Which candidates, sorted by log-probability, finish, and which live on."""
        rank_C = torch.arange(eos_SC.shape[1])
        words_SC = possible_SC & ~eos_SC
        beam = self.settings.beam
        if self.settings.search == "paper" or beam == 1:
            places_S = beam - self.num_finished_B[self.active_S]
            kept_SC = rank_C < places_S[:, None]
            return kept_SC & possible_SC & eos_SC, kept_SC & words_SC
        ends_SC = (rank_C < beam) & possible_SC & eos_SC
        return ends_SC, words_SC & (words_SC.cumsum(1) <= beam)

    def _finish(
        self, total_SC: Tensor, last_SC: Tensor, row_SC: Tensor, ends_SC: Tensor
    ) -> None:
        if not ends_SC.any():
            return
        sentences = self.active_S[ends_SC.nonzero()[:, 0]].tolist()
        rows = row_SC[ends_SC]
        ids = self.ids_NT[rows].tolist()
        token_log_probs = torch.cat(
            [self.token_log_probs_NT[rows], last_SC[ends_SC][:, None]], dim=1
        ).tolist()
        norm = self.settings.norm(self.ids_NT.shape[1] + 1)
        for sentence, words, each, log_prob in zip(
            sentences, ids, token_log_probs, total_SC[ends_SC].tolist(), strict=True
        ):
            self.finished[sentence].append(
                Hypothesis(
                    tuple(words), log_prob, log_prob / norm, tuple(each), finished=True
                )
            )
        self.num_finished_B[self.active_S] += ends_SC.sum(1)
        nbest = self.settings.nbest
        for sentence in set(sentences):
            best = nlargest(nbest, (h.score for h in self.finished[sentence]))
            if len(best) == nbest:
                self.to_beat_B[sentence] = best[-1]

    def _keep_unfinished(self, chosen_SC: Tensor) -> None:
        """Where nothing can go on and nothing has finished, keep what there is."""
        stuck_S = ~chosen_SC.any(1) & (self.num_finished_B[self.active_S] == 0)
        if not stuck_S.any():
            return
        norm = self.settings.norm(max(1, self.ids_NT.shape[1]))
        widths = torch.tensor(self.live.widths)
        sentence_N = self.active_S.repeat_interleave(widths).tolist()
        for row in stuck_S.repeat_interleave(widths).nonzero().flatten().tolist():
            log_prob = float(self.live.log_prob_N[row])
            words = tuple(self.ids_NT[row].tolist())
            each = tuple(self.token_log_probs_NT[row].tolist())
            self.finished[sentence_N[row]].append(
                Hypothesis(words, log_prob, log_prob / norm, each, finished=False)
            )

    def _can_win(self, total_SC: Tensor, lives_SC: Tensor) -> Tensor:
        """Those that live and may still enter the n-best: see `beam_search`."""
        best_end_SC = total_SC / self.longest_norm_B[self.active_S, None]
        to_beat_S1 = self.to_beat_B[self.active_S, None]
        can_win_SC: Tensor = lives_SC & (best_end_SC > to_beat_S1)
        if self.settings.search == "paper":
            return lives_SC & can_win_SC.any(1, keepdim=True)
        return can_win_SC


def _is_identity(rows_N: Tensor, num_rows: int) -> bool:
    return len(rows_N) == num_rows and torch.equal(rows_N, torch.arange(num_rows))

"""Beam search: which hypotheses live, finish and win.

Knows ids only: no model, no words, no files. A `StepFunction` gives log-probabilities
and carries a state that is opaque here. The large tensors stay on its device and are
read once a step, for the best words of each row; the choice among these is made on the
CPU for all sentences at once. Only live hypotheses have rows, so a finished sentence
costs nothing.

Shapes: B sentences, S of them still searched, N rows (live hypotheses, sentence by
sentence, best first), W most rows of one sentence, C best words of a row, M candidates
of a sentence, T tokens so far, V target vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import nlargest
from typing import Literal, Protocol, TypeVar

import torch
from torch import Tensor

from pipelines.artifacts.vocab import EOS
from pipelines.config.schema import TranslateConfig
from pipelines.errors import DivergenceError
from pipelines.search.candidates import best_words

State = TypeVar("State")


class StepFunction(Protocol[State]):
    """A model, or several, one word at a time; each row independent of the others."""

    def __call__(self, tokens_N: Tensor, state: State) -> tuple[Tensor, State]:
        """Score every next word.

        Args:
            tokens_N: int64, the word each row took last; EOS at the start.
            state: As the last call or `select` left it.

        Returns:
            Natural log-probabilities [N, V], and the new state.
        """

    def select(self, state: State, rows_N: Tensor) -> State:
        """The state of the given rows (int64): repeated, in a new order, or dropped."""


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """How to search; the meanings are those of `TranslateConfig`."""

    beam: int = 12
    nbest: int = 1
    mode: Literal["standard", "paper"] = "standard"
    length_penalty: float = 1.0
    allow_unk: bool = False

    @classmethod
    def from_config(cls, config: TranslateConfig) -> "SearchSettings":
        """The settings of the section `translate`."""
        return cls(
            beam=config.beam,
            nbest=config.nbest,
            mode=config.mode,
            length_penalty=config.length_penalty,
            allow_unk=config.allow_unk,
        )

    @property
    def exponent(self) -> float:
        """Power of the length that divides a log-probability; 0 in mode `paper`."""
        return self.length_penalty if self.mode == "standard" else 0.0


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One translation."""

    ids: tuple[int, ...]
    """Without EOS."""
    log_prob: float
    """Sum of natural log-probabilities, that of EOS included when it was taken."""
    score: float
    """What ranked it; the higher the better."""
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

    Mode `standard`: of the candidates of a sentence (each live hypothesis with each
    word) the best `beam` that are not EOS live on; an EOS among the best `beam`
    candidates is a finished hypothesis. The search of a sentence ends when it has
    `beam` finished ones and the nbest-th of them scores at least as well as the best
    live one would if the next word ended it for sure. (Counting alone would not do: a
    model that is sure of a long output puts EOS second at every step before.) Score:
    log-probability / length**length_penalty, EOS counted.

    Mode `paper`: the best of all candidates are kept; one that takes EOS leaves the
    beam for good and narrows it by its place. Score: the log-probability.

    In both, a sentence also ends as soon as its nbest-th finished score is at least
    `best live log-probability / (max_length + 1)**length_penalty`: log-probabilities
    only fall and no hypothesis grows longer, so none can enter the n-best any more and
    stopping changes nothing. With beam 1 either mode is greedy search.

    PAD is never written. At its length limit a hypothesis can only take EOS. Only when
    none of a sentence's hypotheses can be finished (EOS impossible at the limit, or
    every word before it) are its live ones returned, unfinished. Equal scores: the
    hypothesis that finished earlier, then the one ranked higher, then the smaller id.

    Args:
        step: The model; its scores of a row must not depend on the other rows.
        state: One row for each sentence.
        num_sentences: B.
        max_lengths: Most tokens before EOS, for each sentence.
        settings: How to search.
        device: Where `step` expects tokens and rows.

    Returns:
        For each sentence at most `nbest` hypotheses, the best first.

    Raises:
        DivergenceError: The model gives NaN.

    Source: Sutskever et al. 2014, section 3.2.
    """
    if len(max_lengths) != num_sentences or min(max_lengths, default=0) < 0:
        raise ValueError(f"max_lengths {max_lengths!r} for {num_sentences} sentences")
    if num_sentences == 0:
        return []
    beams = _Beams(max_lengths, settings)
    tokens_N = torch.full((num_sentences,), EOS, device=device)
    with torch.inference_mode():
        while True:
            log_probs_NV, state = step(tokens_N, state)
            scores_NC, ids_NC = best_words(
                log_probs_NV, beam=settings.beam, allow_unk=settings.allow_unk
            )
            eos_N = log_probs_NV[:, EOS]
            rows_N = beams.advance(scores_NC.cpu(), ids_NC.cpu(), eos_N.cpu())
            if not len(rows_N):
                return beams.ranked()
            if not _is_identity(rows_N, len(tokens_N)):
                state = step.select(state, rows_N.to(device))
            tokens_N = beams.tokens_N.to(device)


class _Beams:
    """The live and the finished hypotheses of all sentences, on the CPU."""

    def __init__(self, max_lengths: Sequence[int], settings: SearchSettings) -> None:
        num_sentences = len(max_lengths)
        self.settings = settings
        self.finished: list[list[Hypothesis]] = [[] for _ in max_lengths]
        self.limit_B = torch.tensor(max_lengths)
        self.longest_B = (self.limit_B + 1).double() ** settings.exponent
        self.num_finished_B = torch.zeros(num_sentences, dtype=torch.int64)
        self.to_beat_B = torch.full((num_sentences,), -torch.inf, dtype=torch.float64)
        self.sentence_N = torch.arange(num_sentences)
        self.log_prob_N = torch.zeros(num_sentences, dtype=torch.float64)
        self.ids_NT = torch.zeros((num_sentences, 0), dtype=torch.int32)
        self.tokens_N = torch.full((num_sentences,), EOS)

    def advance(self, scores_NC: Tensor, ids_NC: Tensor, eos_N: Tensor) -> Tensor:
        """Take one more word.

        Args:
            scores_NC: Log-probabilities of the best words of each row, in any order;
                changed here.
            ids_NC: int64, their ids; changed here.
            eos_N: Log-probability of EOS.

        Returns:
            int64: for each row from now on, the row it continues. Empty at the end.
        """
        if scores_NC.isnan().any():
            raise DivergenceError("the model's log-probabilities are not numbers (NaN)")
        self._only_eos_at_the_limit(scores_NC, ids_NC, eos_N)
        active_S, place_N, width_S = torch.unique_consecutive(
            self.sentence_N, return_inverse=True, return_counts=True
        )
        first_S = width_S.cumsum(0) - width_S
        slot_N = torch.arange(len(place_N)) - first_S[place_N]
        num_words = scores_NC.shape[1]
        grid_SWC = torch.full(
            (len(active_S), int(width_S.max()), num_words),
            -torch.inf,
            dtype=torch.float64,
        )
        grid_SWC[place_N, slot_N] = self.log_prob_N[:, None] + scores_NC
        # `stable` keeps equal candidates in the order of rows, then of ids
        total_SM, order_SM = grid_SWC.flatten(1).sort(
            dim=1, descending=True, stable=True
        )
        num_candidates = 2 * self.settings.beam
        total_SM, order_SM = total_SM[:, :num_candidates], order_SM[:, :num_candidates]
        possible_SM = total_SM > -torch.inf
        row_SM = first_S[:, None] + order_SM // num_words
        row_SM = row_SM.where(possible_SM, 0)
        id_SM = ids_NC[row_SM, order_SM % num_words]
        ends_SM, lives_SM = self._choose(id_SM == EOS, possible_SM, active_S)
        self._finish(active_S, total_SM, row_SM, ends_SM)
        self._keep_unfinished(active_S, place_N, ends_SM | lives_SM)
        lives_SM &= ~self._is_done(active_S, total_SM, lives_SM)[:, None]
        rows_N: Tensor = row_SM[lives_SM]
        self.tokens_N = id_SM[lives_SM]
        self.log_prob_N = total_SM[lives_SM]
        self.sentence_N = active_S[:, None].expand_as(id_SM)[lives_SM]
        self.ids_NT = torch.cat(
            [self.ids_NT[rows_N], self.tokens_N[:, None].int()], dim=1
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

    def _only_eos_at_the_limit(
        self, scores_NC: Tensor, ids_NC: Tensor, eos_N: Tensor
    ) -> None:
        at_limit_N = self.limit_B[self.sentence_N] == self.ids_NT.shape[1]
        if at_limit_N.any():
            scores_NC[at_limit_N] = -torch.inf
            scores_NC[at_limit_N, 0] = eos_N[at_limit_N]
            ids_NC[at_limit_N, 0] = EOS

    def _choose(
        self, eos_SM: Tensor, possible_SM: Tensor, active_S: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Which candidates, sorted by log-probability, finish, and which live on."""
        rank_M = torch.arange(eos_SM.shape[1])
        words_SM = possible_SM & ~eos_SM
        beam = self.settings.beam
        if self.settings.mode == "paper":
            places_S = beam - self.num_finished_B[active_S]
            kept_SM = rank_M < places_S[:, None]
            return kept_SM & possible_SM & eos_SM, kept_SM & words_SM
        ends_SM = (rank_M < beam) & possible_SM & eos_SM
        return ends_SM, words_SM & (words_SM.cumsum(1) <= beam)

    def _finish(
        self, active_S: Tensor, total_SM: Tensor, row_SM: Tensor, ends_SM: Tensor
    ) -> None:
        if not ends_SM.any():
            return
        ends = ends_SM.nonzero()
        sentences = active_S[ends[:, 0]].tolist()
        ids = self.ids_NT[row_SM[ends_SM]].tolist()
        length = self.ids_NT.shape[1] + 1
        for sentence, words, log_prob in zip(
            sentences, ids, total_SM[ends_SM].tolist(), strict=True
        ):
            score = log_prob / length**self.settings.exponent
            self.finished[sentence].append(
                Hypothesis(tuple(words), log_prob, score, finished=True)
            )
        self.num_finished_B[active_S] += ends_SM.sum(1)
        nbest = self.settings.nbest
        for sentence in set(sentences):
            best = nlargest(nbest, (h.score for h in self.finished[sentence]))
            if len(best) == nbest:
                self.to_beat_B[sentence] = best[-1]

    def _keep_unfinished(
        self, active_S: Tensor, place_N: Tensor, chosen_SM: Tensor
    ) -> None:
        """Where nothing can go on and nothing has finished, keep what there is."""
        stuck_S = ~chosen_SM.any(1) & (self.num_finished_B[active_S] == 0)
        length = max(1, self.ids_NT.shape[1])
        for row in stuck_S[place_N].nonzero().flatten().tolist():
            log_prob = float(self.log_prob_N[row])
            score = log_prob / length**self.settings.exponent
            words = tuple(self.ids_NT[row].tolist())
            self.finished[int(self.sentence_N[row])].append(
                Hypothesis(words, log_prob, score, finished=False)
            )

    def _is_done(self, active_S: Tensor, total_SM: Tensor, lives_SM: Tensor) -> Tensor:
        """Sentences whose search is over: see `beam_search`."""
        best_live_S = total_SM.where(lives_SM, -torch.inf).amax(1)
        to_beat_S = self.to_beat_B[active_S]
        done_S = to_beat_S >= best_live_S / self.longest_B[active_S]
        enough_S = self.num_finished_B[active_S] >= self.settings.beam
        if self.settings.beam > 1:
            ended_next = self.ids_NT.shape[1] + 2  # with this word and EOS
            enough_S &= to_beat_S >= best_live_S / ended_next**self.settings.exponent
        return done_S | enough_S


def _is_identity(rows_N: Tensor, num_rows: int) -> bool:
    return len(rows_N) == num_rows and torch.equal(rows_N, torch.arange(num_rows))

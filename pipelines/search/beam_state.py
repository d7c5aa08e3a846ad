"""The hypotheses of a beam search: which live, finish and are dropped at each step.

Shapes: B sentences, S of them still searched, N rows (live hypotheses, sentence by
sentence, best first), C candidates of a sentence, T tokens so far.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import nlargest

import torch
from torch import Tensor
from torch.nn import functional as F

from pipelines.artifacts.vocab import EOS
from pipelines.errors import DivergenceError
from pipelines.search.hypothesis import Hypothesis, best_first
from pipelines.search.settings import SearchSettings
from pipelines.search.topk import LiveBeams, NextTokens, first_rows


@dataclass(frozen=True, slots=True)
class StepResult:
    """The hypotheses that survive one step and those that it ends."""

    rows_N: Tensor
    """int64, for each live hypothesis the row of the last step that it continues."""
    tokens_N: Tensor
    """int64, its new token."""
    token_log_prob_N: Tensor
    log_prob_N: Tensor
    """float64, of the whole hypothesis."""
    width_S: Tensor
    """Live hypotheses of each sentence; 0 ends its search."""
    ended: Mapping[int, list[Hypothesis]]
    """Finished hypotheses by sentence, best first; live ones of a sentence that can
    neither continue nor finish."""
    to_beat_B: Tensor
    """float64, the nbest-th finished score; -inf while there are fewer."""


class BeamState:
    """The live and the finished hypotheses of all sentences, on the CPU."""

    def __init__(self, max_lengths: Sequence[int], settings: SearchSettings) -> None:
        num_sentences = len(max_lengths)
        self.settings = settings
        self.limit_B = torch.tensor(max_lengths)
        self.longest_norm_B = torch.tensor(
            [settings.norm(limit + 1) for limit in max_lengths], dtype=torch.float64
        )
        self.ended: list[list[Hypothesis]] = [[] for _ in max_lengths]
        self.num_ended_B = torch.zeros(num_sentences, dtype=torch.int64)
        self.to_beat_B = torch.full((num_sentences,), -torch.inf, dtype=torch.float64)
        self.active_S = torch.arange(num_sentences)
        self.live = LiveBeams(
            torch.zeros(num_sentences, dtype=torch.float64),
            [1] * num_sentences,
            settings.banned(0),
        )
        self.ids_NT = torch.zeros((num_sentences, 0), dtype=torch.int32)
        self.token_log_probs_NT = torch.zeros((num_sentences, 0))

    def choose(self, candidates: NextTokens) -> StepResult:
        """Choose among the candidates of one step; changes nothing."""
        if candidates.log_prob_SC.isnan().any():
            raise DivergenceError("the model's log-probabilities are not numbers (NaN)")
        row_SC, id_SC, token_log_prob_SC = self._only_eos_at_the_limit(candidates)
        log_prob_SC, order_SC = (self.live.log_prob_N[row_SC] + token_log_prob_SC).sort(
            dim=1, descending=True, stable=True
        )
        row_SC, id_SC, token_log_prob_SC = (
            tensor.gather(1, order_SC) for tensor in (row_SC, id_SC, token_log_prob_SC)
        )
        ends_SC, lives_SC = self._split(id_SC == EOS, log_prob_SC > -torch.inf)
        ended = self._unfinished(ends_SC | lives_SC)
        if ends_SC.any():
            ended |= self._finished(row_SC, token_log_prob_SC, log_prob_SC, ends_SC)
        to_beat_B = self._to_beat(ended)
        lives_SC = self._can_win(log_prob_SC, lives_SC, to_beat_B[self.active_S])
        return StepResult(
            rows_N=row_SC[lives_SC],
            tokens_N=id_SC[lives_SC],
            token_log_prob_N=token_log_prob_SC[lives_SC],
            log_prob_N=log_prob_SC[lives_SC],
            width_S=lives_SC.sum(1),
            ended=ended,
            to_beat_B=to_beat_B,
        )

    def update(self, result: StepResult) -> None:
        """Take over the result of a step."""
        for sentence, hypotheses in result.ended.items():
            self.ended[sentence] += hypotheses
        counts = [len(hypotheses) for hypotheses in result.ended.values()]
        self.num_ended_B[list(result.ended)] += torch.tensor(counts, dtype=torch.int64)
        self.to_beat_B = result.to_beat_B
        rows_N = result.rows_N
        self.ids_NT = torch.cat(
            [self.ids_NT[rows_N], result.tokens_N[:, None].int()], dim=1
        )
        self.token_log_probs_NT = torch.cat(
            [self.token_log_probs_NT[rows_N], result.token_log_prob_N[:, None]], dim=1
        )
        searched_S = result.width_S > 0
        self.active_S = self.active_S[searched_S]
        self.live = LiveBeams(
            log_prob_N=result.log_prob_N,
            widths=result.width_S[searched_S].tolist(),
            banned=self.settings.banned(self.ids_NT.shape[1]),
        )

    def ranked(self) -> list[list[Hypothesis]]:
        """The n-best of each sentence, best first."""
        nbest = self.settings.nbest
        return [best_first(hypotheses)[:nbest] for hypotheses in self.ended]

    def _only_eos_at_the_limit(
        self, candidates: NextTokens
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Rows, ids and log-probabilities; EOS only for sentences at their limit."""
        row_SC, id_SC = candidates.row_SC, candidates.id_SC
        log_prob_SC = candidates.log_prob_SC
        at_limit_S = self.limit_B[self.active_S] == self.ids_NT.shape[1]
        if not at_limit_S.any():
            return row_SC, id_SC, log_prob_SC
        widths = self.live.widths
        slot_SC = torch.arange(max(*widths, row_SC.shape[1])).expand(len(widths), -1)
        width_S1 = torch.tensor(widths)[:, None]
        has_row_SC = slot_SC < width_S1
        eos_row_SC = (first_rows(width_S1) + slot_SC).where(has_row_SC, 0)
        eos_log_prob_SC = candidates.eos_log_prob_N[eos_row_SC]
        eos_log_prob_SC = eos_log_prob_SC.where(has_row_SC, -torch.inf)
        pad = (0, slot_SC.shape[1] - row_SC.shape[1])
        at_limit_S1 = at_limit_S[:, None]
        return (
            eos_row_SC.where(at_limit_S1, F.pad(row_SC, pad)),
            torch.full_like(eos_row_SC, EOS).where(at_limit_S1, F.pad(id_SC, pad)),
            eos_log_prob_SC.where(
                at_limit_S1, F.pad(log_prob_SC, pad, value=-torch.inf)
            ),
        )

    def _split(self, eos_SC: Tensor, possible_SC: Tensor) -> tuple[Tensor, Tensor]:
        """Which candidates, sorted by log-probability, finish and which stay live."""
        rank_C = torch.arange(eos_SC.shape[1])
        continues_SC = possible_SC & ~eos_SC
        beam = self.settings.beam
        if self.settings.search == "paper" or beam == 1:
            places_S = beam - self.num_ended_B[self.active_S]
            kept_SC = rank_C < places_S[:, None]
            return kept_SC & possible_SC & eos_SC, kept_SC & continues_SC
        ends_SC = (rank_C < beam) & possible_SC & eos_SC
        return ends_SC, continues_SC & (continues_SC.cumsum(1) <= beam)

    def _finished(
        self,
        row_SC: Tensor,
        token_log_prob_SC: Tensor,
        log_prob_SC: Tensor,
        ends_SC: Tensor,
    ) -> dict[int, list[Hypothesis]]:
        """The hypotheses that take EOS, by sentence."""
        rows = row_SC[ends_SC]
        token_log_probs = torch.cat(
            [self.token_log_probs_NT[rows], token_log_prob_SC[ends_SC][:, None]], dim=1
        )
        return _hypotheses_by_sentence(
            self.active_S[ends_SC.nonzero()[:, 0]],
            self.ids_NT[rows],
            token_log_probs,
            log_prob_SC[ends_SC],
            norm=self.settings.norm(self.ids_NT.shape[1] + 1),
            finished=True,
        )

    def _unfinished(self, chosen_SC: Tensor) -> dict[int, list[Hypothesis]]:
        """The live hypotheses of sentences that can neither continue nor finish."""
        stuck_S = ~chosen_SC.any(1) & (self.num_ended_B[self.active_S] == 0)
        if not stuck_S.any():
            return {}
        widths = torch.tensor(self.live.widths)
        rows = stuck_S.repeat_interleave(widths).nonzero().flatten()
        return _hypotheses_by_sentence(
            self.active_S.repeat_interleave(widths)[rows],
            self.ids_NT[rows],
            self.token_log_probs_NT[rows],
            self.live.log_prob_N[rows],
            norm=self.settings.norm(max(1, self.ids_NT.shape[1])),
            finished=False,
        )

    def _to_beat(self, ended: Mapping[int, list[Hypothesis]]) -> Tensor:
        """The nbest-th score of each sentence once `ended` is counted."""
        if not ended:
            return self.to_beat_B
        to_beat_B, nbest = self.to_beat_B.clone(), self.settings.nbest
        for sentence, hypotheses in ended.items():
            finished = [*self.ended[sentence], *hypotheses]
            best = nlargest(nbest, (hypothesis.score for hypothesis in finished))
            if len(best) == nbest:
                to_beat_B[sentence] = best[-1]
        return to_beat_B

    def _can_win(
        self, log_prob_SC: Tensor, lives_SC: Tensor, to_beat_S: Tensor
    ) -> Tensor:
        """Which live candidates may still enter the n-best: see `beam_search`."""
        bound_SC = log_prob_SC / self.longest_norm_B[self.active_S, None]
        can_win_SC: Tensor = lives_SC & (bound_SC > to_beat_S[:, None])
        if self.settings.search == "paper":
            return lives_SC & can_win_SC.any(1, keepdim=True)
        return can_win_SC


def _hypotheses_by_sentence(
    sentence_N: Tensor,
    ids_NT: Tensor,
    token_log_probs_NT: Tensor,
    log_prob_N: Tensor,
    *,
    norm: float,
    finished: bool,
) -> dict[int, list[Hypothesis]]:
    """Hypotheses of the same length, by sentence, in the order of their rows."""
    hypotheses: dict[int, list[Hypothesis]] = {}
    for sentence, ids, log_probs, log_prob in zip(
        sentence_N.tolist(),
        ids_NT.tolist(),
        token_log_probs_NT.tolist(),
        log_prob_N.tolist(),
        strict=True,
    ):
        hypotheses.setdefault(sentence, []).append(
            Hypothesis(
                tuple(ids), log_prob, log_prob / norm, tuple(log_probs), finished
            )
        )
    return hypotheses

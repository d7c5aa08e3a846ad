"""Scores of n-best hypotheses: the mean of a list's own score and the model's."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from pipelines.artifacts.nbest import LSTM, NbestEntry, SentenceNbest
from pipelines.artifacts.vocab import UNK
from pipelines.errors import DivergenceError, UsageError
from pipelines.search.forced_decoding import ForcedTargets
from pipelines.search.settings import LengthPenalty, norm
from pipelines.text.pipeline import TextPipeline


@dataclass(frozen=True, slots=True, kw_only=True)
class RescoreSettings:
    """Settings of rescoring.

    Raises:
        UsageError: The weight is not within 0 and 1.
    """

    weight: float = 0.5
    """Weight of the model's score: 0 keeps the old score, 1 replaces it. The paper's is
    0.5."""
    length_penalty: LengthPenalty = 0.0
    """Length normalization as in a search; 0 for none, as in the paper."""
    tokenize: bool = False
    """Whether to tokenize the list's tokens with the model's own tokenizer."""
    max_source_length: int = 1000
    """Longer source sentences are cut to this number of tokens, with a warning."""

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1:
            raise UsageError(f"weight {self.weight}, expected a number from 0 to 1")


@dataclass(frozen=True, slots=True)
class Rescored:
    """The hypotheses of one source line."""

    original: tuple[NbestEntry, ...] = ()
    """As they are in the list; empty if the list lacks the line."""
    entries: tuple[NbestEntry, ...] = ()
    """With the new feature and score, best first; ties in the old order."""

    @property
    def tokens(self) -> tuple[str, ...]:
        """Tokens of the best hypothesis."""
        return self.entries[0].tokens if self.entries else ()


class TargetScorer(Protocol):
    """The interface of `pipelines.search.forced_decoding.ForcedDecoder`."""

    def score(self, sentences: Sequence[ForcedTargets]) -> list[list[list[float]]]:
        """Compute the log-probability of each token of each target."""


class Rescorer:
    """Scores the hypotheses of some sentences.

    Args:
        scorer: One model or an ensemble.
        pipeline: Its text rules.
        settings: Weight, length normalization and text settings.

    Attributes:
        num_tokens: Tokens of all hypotheses so far, without EOS.
        num_unknown: Number of these tokens that the vocabulary lacks.
        truncated: Numbers, from 1, of source lines that were cut.
    """

    def __init__(
        self,
        scorer: TargetScorer,
        pipeline: TextPipeline,
        settings: RescoreSettings,
    ) -> None:
        self.settings = settings
        self.num_tokens = self.num_unknown = 0
        self.truncated: list[int] = []
        self._scorer = scorer
        self._pipeline = pipeline

    def rescore(
        self, sentences: Sequence[SentenceNbest], source: Sequence[str]
    ) -> Iterator[Rescored]:
        """Score sentences together.

        Args:
            sentences: Their n-best lists.
            source: All source lines.

        Raises:
            DivergenceError: A score of the model is not finite.
        """
        scores = self._scorer.score(
            [
                ForcedTargets(
                    self._source_ids(source[number], number + 1),
                    [self._target_ids(entry) for entry in entries],
                )
                for number, entries in sentences
            ]
        )
        for (number, entries), log_probs in zip(sentences, scores, strict=True):
            rescored = list(map(self._with_new_score, entries, log_probs))
            if not all(math.isfinite(entry.features[LSTM][0]) for entry in rescored):
                raise DivergenceError(
                    f"the model's score of sentence {number} is not a finite number"
                )
            rescored.sort(key=lambda entry: -entry.score)
            yield Rescored(tuple(entries), tuple(rescored))

    def _with_new_score(
        self, entry: NbestEntry, token_log_probs: list[float]
    ) -> NbestEntry:
        """Average the entry's score and the model's.

        Source: Sutskever et al. 2014, section 3.2 (the mean with equal weights).
        """
        weight, log_prob = self.settings.weight, sum(token_log_probs)
        model_score = log_prob / norm(
            len(token_log_probs), self.settings.length_penalty
        )
        return replace(
            entry,
            features={**entry.features, LSTM: (log_prob,)},
            score=(1 - weight) * entry.score + weight * model_score,
        )

    def _source_ids(self, line: str, number: int) -> list[int]:
        limit = self.settings.max_source_length
        ids, too_long = self._pipeline.source_ids_within(line, limit)
        self.truncated += [number] * too_long
        return ids

    def _target_ids(self, entry: NbestEntry) -> list[int]:
        if self.settings.tokenize:
            ids = self._pipeline.target_ids(" ".join(entry.tokens))
        else:
            ids = self._pipeline.target_ids_of_tokens(entry.tokens)
        self.num_tokens += len(ids) - 1
        self.num_unknown += ids.count(UNK)
        return ids

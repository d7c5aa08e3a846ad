"""How to search, and what divides a score."""

from dataclasses import dataclass
from typing import Literal

from pipelines.artifacts.vocab import EOS, PAD, UNK
from pipelines.config import TranslateConfig

LengthPenalty = float | Literal["average"]


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """How to search; the meanings are those of `TranslateConfig`."""

    beam: int = 12
    nbest: int = 1
    search: Literal["standard", "paper"] = "standard"
    length_penalty: LengthPenalty = 0.6
    allow_unk: bool = False
    min_length: int = 0

    @classmethod
    def from_config(cls, config: TranslateConfig) -> "SearchSettings":
        """The settings of the section `translate`."""
        return cls(
            beam=effective_beam(config),
            nbest=config.nbest,
            search=config.search,
            length_penalty=config.length_penalty,
            allow_unk=config.unk != "forbid",
            min_length=config.min_length,
        )

    def banned(self, length: int) -> tuple[int, ...]:
        """Words that may not follow `length` tokens; before `min_length`, EOS too."""
        words = (PAD,) if self.allow_unk else (PAD, UNK)
        return (*words, EOS) if length < self.min_length else words

    def norm(self, length: int) -> float:
        """What divides the log-probability of `length` tokens; the paper's is 1."""
        return 1.0 if self.search == "paper" else norm(length, self.length_penalty)


def effective_beam(config: TranslateConfig) -> int:
    """The width that a search runs with: the beam, widened to the n-best list.

    What comes first in the list is what a beam of this width finds.
    """
    return max(config.beam, config.nbest)


def norm(length: int, penalty: LengthPenalty) -> float:
    """What divides the log-probability of `length` tokens, EOS counted; rises.

    Source: Wu et al. 2016, "Google's Neural Machine Translation System", equation 14,
    for the penalty with an exponent.
    """
    if penalty == "average":
        return float(length)
    return float(((5 + length) / 6) ** penalty)

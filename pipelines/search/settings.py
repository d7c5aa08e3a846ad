"""Settings of a search or of sampling, and length normalization."""

from dataclasses import dataclass
from typing import Literal

from pipelines.artifacts.vocab import EOS, PAD, UNK
from pipelines.config import TranslateConfig

LengthPenalty = float | Literal["average"]


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """Settings of a search or of sampling; meanings are those of `TranslateConfig`.

    Source: Sutskever et al. 2014, section 3.2 (`search` = paper); Fan et al. 2018,
    "Hierarchical Neural Story Generation" (`top_k`).
    """

    beam: int = 12
    nbest: int = 1
    search: Literal["standard", "paper"] = "standard"
    length_penalty: LengthPenalty = 0.6
    allow_unk: bool = False
    min_length: int = 0
    sample: bool = False
    top_k: int = 0
    temperature: float = 1.0
    seed: int = 1

    @classmethod
    def from_config(cls, config: TranslateConfig) -> "SearchSettings":
        """Take the settings of the section `translate`.

        The beam is at least as wide as the n-best list. With `sample`, `search` is
        standard, because draws are scored as the standard search scores.
        """
        return cls(
            beam=effective_beam(config),
            nbest=config.nbest,
            search="standard" if config.sample else config.search,
            length_penalty=config.length_penalty,
            allow_unk=config.unk != "forbid",
            min_length=config.min_length,
            sample=config.sample,
            top_k=config.top_k,
            temperature=config.temperature,
            seed=config.seed,
        )

    def __str__(self) -> str:
        if not self.sample:
            return f"beam {self.beam}"
        top_k = f"top {self.top_k}, " if self.top_k else ""
        return f"sampling ({top_k}temperature {self.temperature:g}, seed {self.seed})"

    @property
    def most_rows(self) -> int:
        """Most rows (hypotheses or draws) of a sentence."""
        return self.nbest if self.sample else self.beam

    def banned(self, length: int) -> tuple[int, ...]:
        """Ids that may not follow `length` tokens; before `min_length`, EOS too."""
        ids = (PAD,) if self.allow_unk else (PAD, UNK)
        return (*ids, EOS) if length < self.min_length else ids

    def norm(self, length: int) -> float:
        """Divisor of the log-probability of `length` tokens; the paper's is 1."""
        return 1.0 if self.search == "paper" else norm(length, self.length_penalty)


def effective_beam(config: TranslateConfig) -> int:
    """Width of the beam that a search runs with: at least that of the n-best list."""
    return max(config.beam, config.nbest)


def norm(length: int, penalty: LengthPenalty) -> float:
    """Divisor of the log-probability of `length` tokens, EOS counted; grows with it.

    Source: Wu et al. 2016, "Google's Neural Machine Translation System", equation 14,
    for the penalty with an exponent.
    """
    if penalty == "average":
        return float(length)
    return float(((5 + length) / 6) ** penalty)

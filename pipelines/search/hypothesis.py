"""A translation as ids: what beam search and sampling return."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One translation."""

    ids: tuple[int, ...]
    """Without EOS."""
    log_prob: float
    """Sum of natural log-probabilities, that of EOS included if it was taken."""
    score: float
    """The value that ranks hypotheses, higher is better."""
    token_log_probs: tuple[float, ...]
    """Log-probability of each token, EOS included if it was taken; sum up to
    `log_prob`."""
    finished: bool
    """Whether it ends with EOS."""


def best_first(hypotheses: Iterable[Hypothesis]) -> list[Hypothesis]:
    """Sort by score; ties keep their order."""
    return sorted(hypotheses, key=lambda hypothesis: -hypothesis.score)

"""What choosing other hypotheses of an n-best list brings, in tokenised BLEU."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.metrics.bleu import bleu_tokenised, nearest
from pipelines.metrics.references import Reference


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """BLEU of three choices among the same hypotheses."""

    baseline: float
    """Those that come first in the list."""
    rescored: float
    """Those that were chosen."""
    oracle: float
    """Those with the best smoothed BLEU of their own: about what is possible."""
    signature: str
    """Of all three."""
    sentences: int
    hypotheses: int


class Comparer:
    """Keeps of each sentence what `Comparison` needs.

    Args:
        *refs: Tokenised like the list, a line for each sentence.
        lowercase: Ignore case.
    """

    def __init__(self, *refs: Reference, lowercase: bool = False) -> None:
        self._refs = refs
        self._lowercase = lowercase
        self._choices: list[tuple[str, str, str]] = []
        self._num_hypotheses = self._num_sentences = 0

    def add(self, hyp: Sequence[str], chosen: str) -> None:
        """Take the next sentence.

        Args:
            hyp: Its hypotheses as they come in the list; there may be none.
            chosen: One of them; empty where there are none.
        """
        refs = [ref[len(self._choices)] for ref in self._refs]
        self._num_hypotheses += len(hyp)
        self._num_sentences += bool(hyp)
        lines = list(dict.fromkeys(hyp)) or [""]
        oracle = nearest(lines, *refs, lowercase=self._lowercase)
        self._choices.append((lines[0], chosen, oracle))

    def result(self) -> Comparison:
        """Compare, after the last sentence."""
        baseline, rescored, oracle = (
            bleu_tokenised(
                [choice[place] for choice in self._choices],
                *self._refs,
                lowercase=self._lowercase,
            )
            for place in range(3)
        )
        return Comparison(
            baseline=baseline.value,
            rescored=rescored.value,
            oracle=oracle.value,
            signature=baseline.signature,
            sentences=self._num_sentences,
            hypotheses=self._num_hypotheses,
        )

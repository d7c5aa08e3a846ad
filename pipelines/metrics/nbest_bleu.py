"""Tokenised BLEU of an n-best list: baseline, rescored and oracle."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.errors import CorpusError
from pipelines.metrics.bleu import bleu_tokenised
from pipelines.metrics.references import Reference


@dataclass(frozen=True, slots=True, kw_only=True)
class NbestBleu:
    """BLEU of three choices among the same hypotheses."""

    baseline: float
    """The first hypothesis of each sentence."""
    rescored: float
    """The hypotheses that rescoring chose."""
    oracle: float
    """The hypotheses with the best sentence BLEU: about the most that is possible."""
    signature: str
    """The settings, the same for all three."""
    sentences: int
    hypotheses: int


class NbestBleuCounter:
    """Collects the three choices of each sentence.

    Args:
        *refs: Tokenised like the list, a line for each sentence.
        lowercase: Ignore case.
    """

    def __init__(self, *refs: Reference, lowercase: bool = False) -> None:
        self._refs = refs
        self._lowercase = lowercase
        self._choices: list[tuple[str, str, str]] = []
        self._num_hypotheses = self._num_sentences = 0

    def add(self, hyps: Sequence[str], rescored: str) -> None:
        """Add the next sentence.

        Args:
            hyps: Its hypotheses in the list's order; may be empty.
            rescored: The one that rescoring chose; empty where there are none.
        """
        refs = [ref[len(self._choices)] for ref in self._refs]
        self._num_hypotheses += len(hyps)
        self._num_sentences += bool(hyps)
        lines = list(dict.fromkeys(hyps)) or [""]
        oracle = oracle_hypothesis(lines, *refs, lowercase=self._lowercase)
        self._choices.append((lines[0], rescored, oracle))

    def result(self) -> NbestBleu:
        """Compute BLEU of the sentences added so far.

        Raises:
            CorpusError: There are none.
        """
        if not self._choices:
            raise CorpusError("there is nothing to score: no sentences")
        baseline, rescored, oracle = (
            bleu_tokenised(hyp, *self._refs, lowercase=self._lowercase)
            for hyp in zip(*self._choices, strict=True)
        )
        return NbestBleu(
            baseline=baseline.value,
            rescored=rescored.value,
            oracle=oracle.value,
            signature=baseline.signature,
            sentences=self._num_sentences,
            hypotheses=self._num_hypotheses,
        )


def oracle_hypothesis(
    hyps: Sequence[str], *refs: str | None, lowercase: bool = False
) -> str:
    """The hypothesis with the best smoothed sentence BLEU; of equals, the first.

    Args:
        hyps: Tokenised hypotheses of one sentence, at least one.
        *refs: Its references, tokenised in the same way; None where one is lacking.
        lowercase: Ignore case.
    """
    from sacrebleu.metrics.bleu import BLEU

    bleu = BLEU(
        lowercase=lowercase,
        tokenize="none",
        effective_order=True,
        references=[[ref] for ref in refs if ref is not None],  # counted once
    )
    return max(hyps, key=lambda hyp: bleu.corpus_score([hyp], None).score)

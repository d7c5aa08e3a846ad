"""BLEU, chrF and TER by sacreBLEU, each with its verbatim signature.

Two BLEUs: on tokens, without smoothing, which is the paper's multi-bleu.pl; and on
ordinary text with the tokenizer 13a, which is today's. TER ignores case by sacreBLEU's
and Tercom's custom, and its signature says so.

Each takes one reference or several, as sacreBLEU does: a line is None where a reference
has no alternative for it, and the signature has nrefs:2, or nrefs:var.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelines.artifacts.report import Metric
from pipelines.metrics.bootstrap import Resampling, interval, resample
from pipelines.metrics.references import Reference

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric as SacrebleuMetric


def bleu_tokenised(
    hyp: Sequence[str],
    *refs: Reference,
    lowercase: bool = False,
    resampling: Resampling | None = None,
) -> Metric:
    """BLEU of tokens separated by blanks: the paper's.

    Args:
        hyp: One tokenised line for each line of a reference; may be empty.
        *refs: Tokenised in the same way.
        lowercase: Ignore case.
        resampling: For a confidence interval.

    Source: Sutskever et al. 2014, section 3.6.
    """
    from sacrebleu.metrics.bleu import BLEU

    metric = BLEU(
        lowercase=lowercase, tokenize="none", smooth_method="none", force=True
    )
    return _score("bleu_tokenised", metric, hyp, refs, resampling)


def nearest(hyp: Sequence[str], *refs: str | None, lowercase: bool = False) -> str:
    """The line with the best smoothed BLEU of its own; the first of equal ones.

    Args:
        hyp: Tokenised lines, at least one.
        *refs: References of one sentence, tokenised in the same way.
        lowercase: Ignore case.
    """
    from sacrebleu.metrics.bleu import BLEU

    metric = BLEU(lowercase=lowercase, tokenize="none", effective_order=True)
    (counts,) = metric._cache_references([[ref] for ref in refs if ref is not None])

    def value(line: str) -> float:
        """What `metric.sentence_score` finds, which counts `refs` anew each time."""
        own = metric._compute_segment_statistics(
            metric._preprocess_segment(line), counts
        )
        return float(metric._compute_score_from_stats(own).score)

    return max(hyp, key=value)


def bleu_detokenised(
    hyp: Sequence[str],
    *refs: Reference,
    lowercase: bool = False,
    resampling: Resampling | None = None,
) -> Metric:
    """BLEU of ordinary text, as papers report it today; arguments as above."""
    from sacrebleu.metrics.bleu import BLEU

    metric = BLEU(lowercase=lowercase, tokenize="13a", force=True)
    return _score("bleu_detokenised", metric, hyp, refs, resampling)


def chrf(
    hyp: Sequence[str],
    *refs: Reference,
    lowercase: bool = False,
    resampling: Resampling | None = None,
) -> Metric:
    """chrF2: F-score of character n-grams; arguments as above."""
    from sacrebleu.metrics.chrf import CHRF

    return _score("chrf", CHRF(lowercase=lowercase), hyp, refs, resampling)


def ter(
    hyp: Sequence[str],
    *refs: Reference,
    resampling: Resampling | None = None,
) -> Metric:
    """Translation edit rate, case ignored; the lower the better; arguments as above."""
    from sacrebleu.metrics.ter import TER

    return _score("ter", TER(), hyp, refs, resampling)


def bleu_detokenised_value(
    hyp: Sequence[str], ref: Sequence[str], *, lowercase: bool = False
) -> float:
    """The value of `bleu_detokenised` alone, for validation during training."""
    return bleu_detokenised(hyp, ref, lowercase=lowercase).value


def _score(
    name: str,
    metric: "SacrebleuMetric",
    hyp: Sequence[str],
    refs: Sequence[Reference],
    resampling: Resampling | None,
) -> Metric:
    """What `metric.corpus_score` does, without its memory for all resamples at once."""
    import numpy as np

    for ref in refs:
        assert len(hyp) == len(ref), f"{len(hyp)} hypotheses, {len(ref)} references"
    statistics = metric._extract_corpus_statistics(hyp, refs)  # type: ignore[arg-type] # its types leave None out
    value = float(metric._aggregate_and_compute(statistics).score)
    if resampling is None:
        return Metric(name, value, str(metric.get_signature()))
    metric.n_bootstrap = resampling.num_samples
    metric.seed = str(resampling.seed)
    sums = resample(np.array(statistics, dtype=np.float64), resampling)
    low, high = interval(
        [float(metric._compute_score_from_stats(row).score) for row in sums]
    )
    return Metric(name, value, str(metric.get_signature()), low, high)

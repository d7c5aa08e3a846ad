"""BLEU, chrF and TER by sacreBLEU, each with its signature verbatim.

Two BLEUs: of tokens, without smoothing, as the paper's multi-bleu.pl; and of ordinary
text with the tokenizer 13a, as papers report it today. TER ignores case, as Tercom and
sacreBLEU do, and its signature says so.

Each metric takes one or several references, as sacreBLEU does: a line is None where a
reference has no alternative for it, and the signature has nrefs:2, or nrefs:var.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelines.artifacts.report import Metric
from pipelines.metrics.bootstrap import Resampling, confidence_interval
from pipelines.metrics.references import Reference

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric as SacrebleuMetric


def bleu_tokenised(
    hyp: Sequence[str],
    *refs: Reference,
    lowercase: bool = False,
    resampling: Resampling | None = None,
) -> Metric:
    """BLEU of whitespace-separated tokens, as in the paper.

    Args:
        hyp: One tokenised line for each line of a reference; may be empty.
        *refs: Tokenised in the same way.
        lowercase: Ignore case.
        resampling: Of the confidence interval; None computes none.

    Source: Sutskever et al. 2014, section 3.6.
    """
    from sacrebleu.metrics.bleu import BLEU

    bleu = BLEU(lowercase=lowercase, tokenize="none", smooth_method="none", force=True)
    return _corpus_metric("bleu_tokenised", bleu, hyp, refs, resampling)


def bleu_detokenised(
    hyp: Sequence[str],
    *refs: Reference,
    lowercase: bool = False,
    resampling: Resampling | None = None,
) -> Metric:
    """BLEU of ordinary text, as papers report it today; arguments as above."""
    from sacrebleu.metrics.bleu import BLEU

    bleu = BLEU(lowercase=lowercase, tokenize="13a", force=True)
    return _corpus_metric("bleu_detokenised", bleu, hyp, refs, resampling)


def chrf(
    hyp: Sequence[str],
    *refs: Reference,
    lowercase: bool = False,
    resampling: Resampling | None = None,
) -> Metric:
    """chrF2: F-score of character n-grams; arguments as above."""
    from sacrebleu.metrics.chrf import CHRF

    return _corpus_metric("chrf", CHRF(lowercase=lowercase), hyp, refs, resampling)


def ter(
    hyp: Sequence[str],
    *refs: Reference,
    resampling: Resampling | None = None,
) -> Metric:
    """Translation edit rate, case ignored; the lower the better; arguments as above."""
    from sacrebleu.metrics.ter import TER

    return _corpus_metric("ter", TER(), hyp, refs, resampling)


def _corpus_metric(
    name: str,
    metric: "SacrebleuMetric",
    hyp: Sequence[str],
    refs: Sequence[Reference],
    resampling: Resampling | None,
) -> Metric:
    """Compute a metric of sacreBLEU, with an interval where `resampling` is given.

    `corpus_score` holds the statistics of all resamples in memory at once. So with
    `resampling` its three steps, which sacreBLEU does not publish, are taken here.
    """
    for ref in refs:
        assert len(hyp) == len(ref), f"{len(hyp)} hypotheses, {len(ref)} references"
    if resampling is None:
        score = metric.corpus_score(hyp, refs)  # type: ignore[arg-type] # its types leave None out
        return Metric(name, float(score.score), str(metric.get_signature()))
    statistics = metric._extract_corpus_statistics(hyp, refs)  # type: ignore[arg-type] # as above
    value = float(metric._aggregate_and_compute(statistics).score)
    bounds = confidence_interval(
        statistics,
        lambda sums: float(metric._compute_score_from_stats(sums).score),  # type: ignore[arg-type] # it takes arrays, too
        resampling,
    )
    metric.n_bootstrap, metric.seed = resampling.num_samples, str(resampling.seed)
    return Metric(name, value, str(metric.get_signature()), *bounds)

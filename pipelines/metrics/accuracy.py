"""Exact match of whole lines, and the token error rate."""

from collections.abc import Iterable, Sequence

from pipelines.artifacts.report import Metric
from pipelines.metrics.bootstrap import Resampling, confidence_interval
from pipelines.metrics.references import Reference, alternatives, num_references


def exact_match(
    hyp: Sequence[str],
    *refs: Reference,
    lowercase: bool = False,
    resampling: Resampling | None = None,
) -> Metric:
    """Percentage of lines equal to one of their references.

    Whitespace at both ends of a line does not count.
    """
    lines = alternatives(refs)
    hits = [
        (float(_fold(h, lowercase) in {_fold(r, lowercase) for r in line}), 1.0)
        for h, line in zip(hyp, lines, strict=True)
    ]
    signature = _signature(lines, lowercase, resampling, "unit:line")
    return _ratio("exact_match", hits, signature, resampling)


def token_error_rate(
    hyp: Sequence[str],
    *refs: Reference,
    lowercase: bool = False,
    resampling: Resampling | None = None,
) -> Metric:
    """Edits between whitespace-separated tokens, in percent of the reference's tokens.

    The word error rate where tokens are words; may exceed 100. With several references,
    a line is compared with the nearest one: fewest edits; of equals, the longest.

    Source: Nießen et al. 2000, "An evaluation tool for machine translation" (mWER).
    """
    from rapidfuzz.distance import Levenshtein

    lines = alternatives(refs)
    errors: list[tuple[float, float]] = []
    for h, line in zip(hyp, lines, strict=True):
        hyp_tokens = _fold(h, lowercase).split()
        ref_tokens = [_fold(r, lowercase).split() for r in line]
        edits, longest = min(
            (Levenshtein.distance(tokens, hyp_tokens), -len(tokens))
            for tokens in ref_tokens
        )
        errors.append((float(edits), float(-longest)))
    signature = _signature(lines, lowercase, resampling, "unit:token")
    return _ratio("token_error_rate", errors, signature, resampling)


def _fold(line: str, lowercase: bool) -> str:
    return (line.lower() if lowercase else line).strip()


def _signature(
    lines: Sequence[Sequence[str]],
    lowercase: bool,
    resampling: Resampling | None,
    unit: str,
) -> str:
    """The settings in sacreBLEU's notation and order."""
    case = "lc" if lowercase else "mixed"
    fields = [f"nrefs:{num_references(lines)}", f"case:{case}", unit]
    if resampling is not None:
        fields[1:1] = [f"bs:{resampling.num_samples}", f"seed:{resampling.seed}"]
    return "|".join(fields)


def _ratio(
    name: str,
    statistics: Sequence[tuple[float, float]],
    signature: str,
    resampling: Resampling | None,
) -> Metric:
    """A metric that is a ratio of two sums over the lines, in percent."""
    value = _percent([sum(row[column] for row in statistics) for column in (0, 1)])
    if resampling is None:
        return Metric(name, value, signature)
    bounds = confidence_interval(statistics, _percent, resampling)
    return Metric(name, value, signature, *bounds)


def _percent(sums: Iterable[float]) -> float:
    """The first sum in percent of the second; 100 where only the second is 0."""
    numerator, denominator = sums
    if not denominator:
        return 100.0 * (numerator > 0)
    return float(100 * numerator / denominator)

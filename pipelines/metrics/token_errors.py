"""Exact metrics: whole lines that are right, and tokens that are wrong."""

from collections.abc import Hashable, Iterable, Sequence

from pipelines.artifacts.report import Metric
from pipelines.metrics.bootstrap import Resampling, interval, resample
from pipelines.metrics.references import Reference, alternatives, num_references


class Pattern:
    """A sequence to which others are compared.

    Its edit distance to another sequence takes a few operations on long integers for
    each item of the other (Myers 1999, in the form of Hyyrö 2003): bit i of `rises` and
    `falls` tells whether cell i of a column of the edit table is one more or one less
    than the cell above.
    """

    def __init__(self, items: Sequence[Hashable]) -> None:
        self._length = len(items)
        self._places: dict[Hashable, int] = {}
        for place, item in enumerate(items):
            self._places[item] = self._places.get(item, 0) | 1 << place

    def distance(self, items: Iterable[Hashable]) -> int:
        """Fewest insertions, deletions and substitutions of one item each."""
        mask = (1 << self._length) - 1
        last = 1 << self._length >> 1
        rises, falls, distance = mask, 0, self._length
        for item in items:
            if not last:
                distance += 1
                continue
            equal = self._places.get(item, 0)
            diagonal = (((equal & rises) + rises) ^ rises) | equal | falls
            rights = falls | (mask & ~(diagonal | rises))
            lefts = rises & diagonal
            if rights & last:
                distance += 1
            elif lefts & last:
                distance -= 1
            rights = rights << 1 | 1
            lefts <<= 1
            rises = mask & (lefts | ~(diagonal | rights))
            falls = mask & rights & diagonal
        return distance


def edit_distance(one: Sequence[Hashable], other: Sequence[Hashable]) -> int:
    """Fewest insertions, deletions and substitutions that turn one into the other."""
    return Pattern(one).distance(other)


def exact_match(
    hyp: Sequence[str],
    *refs: Reference,
    lowercase: bool = False,
    resampling: Resampling | None = None,
) -> Metric:
    """Percentage of lines equal to one of their references, but for outer blanks."""
    lines = alternatives(refs)
    hits = [
        (float(_fold(h, lowercase) in {_fold(r, lowercase) for r in line}), 1.0)
        for h, line in zip(hyp, lines, strict=True)
    ]
    settings = _signature(lines, lowercase, resampling, "unit:line")
    return _ratio("exact_match", hits, settings, resampling)


def token_error_rate(
    hyp: Sequence[str],
    *refs: Reference,
    lowercase: bool = False,
    resampling: Resampling | None = None,
) -> Metric:
    """Edits between tokens separated by blanks, in percent of the reference's tokens.

    The word error rate where tokens are words; may exceed 100. Of several references a
    line is compared with the nearest one: fewest edits, and of equal ones the longest.

    Source: Nießen et al. 2000, "An evaluation tool for machine translation" (mWER).
    """
    lines = alternatives(refs)
    errors: list[tuple[float, float]] = []
    for h, line in zip(hyp, lines, strict=True):
        found = _fold(h, lowercase).split()
        wanted = [_fold(r, lowercase).split() for r in line]
        edits, longest = min((edit_distance(ref, found), -len(ref)) for ref in wanted)
        errors.append((float(edits), float(-longest)))
    settings = _signature(lines, lowercase, resampling, "unit:token")
    return _ratio("token_error_rate", errors, settings, resampling)


def _fold(line: str, lowercase: bool) -> str:
    return (line.lower() if lowercase else line).strip()


def _signature(
    lines: Sequence[Sequence[str]],
    lowercase: bool,
    resampling: Resampling | None,
    unit: str,
) -> str:
    """The settings in sacreBLEU's order."""
    case = "lc" if lowercase else "mixed"
    parts = [f"nrefs:{num_references(lines)}", f"case:{case}", unit]
    if resampling is not None:
        parts[1:1] = [f"bs:{resampling.num_samples}", f"seed:{resampling.seed}"]
    return "|".join(parts)


def _ratio(
    name: str,
    statistics: list[tuple[float, float]],
    signature: str,
    resampling: Resampling | None,
) -> Metric:
    """One sum over another, in percent."""
    import numpy as np

    table = np.array(statistics, dtype=np.float64).reshape(-1, 2)
    value = _percent(*table.sum(axis=0))
    if resampling is None:
        return Metric(name, value, signature)
    low, high = interval([_percent(*row) for row in resample(table, resampling)])
    return Metric(name, value, signature, low, high)


def _percent(part: float, whole: float) -> float:
    """100 where there is something and nothing was wanted."""
    return float(100 * part / whole) if whole else float(100 * (part > 0))

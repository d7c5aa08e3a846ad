"""Bootstrap resampling of lines: confidence intervals of corpus metrics.

The generator, the draws and the bounds are sacreBLEU's, so that `bs` and `seed` mean
the same in a signature; but only one resample is in memory at a time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_TAIL = 40
"""Each end of the 95 % interval leaves out one in `_TAIL` resamples."""


@dataclass(frozen=True, slots=True)
class Resampling:
    """Number of resamples and seed."""

    num_samples: int
    seed: int


def confidence_interval(
    statistics: Sequence[Sequence[float]],
    score: Callable[[NDArray[np.float64]], float],
    resampling: Resampling,
) -> tuple[float, float]:
    """Compute the 95 % confidence interval of a corpus metric.

    A resample is as many lines as there are, drawn with replacement.

    Args:
        statistics: [lines, columns]; the metric depends on the sums of the columns.
        score: Computes the metric from the sums, [columns].
        resampling: Number of resamples and seed.

    Returns:
        The lower and the upper bound.
    """
    table = np.array(statistics, dtype=np.float64)
    random = np.random.default_rng(resampling.seed)
    num_lines = len(table)
    scores = sorted(
        score(table[random.choice(num_lines, size=num_lines)].sum(axis=0))
        for _ in range(resampling.num_samples)
    )
    tail = len(scores) // _TAIL
    return scores[tail], scores[-tail - 1]

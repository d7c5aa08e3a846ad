"""Bootstrap resampling of lines: how far chance could move a corpus metric.

The draws and the interval are sacreBLEU's (same generator, same indices, same ends),
so that `bs` and `seed` in a signature mean the same; but one resample is held in memory
at a time, not all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_TAIL = 40  # an end of the 95 % interval leaves out a fortieth of the resamples


@dataclass(frozen=True, slots=True)
class Resampling:
    """How often to resample, and from which seed."""

    num_samples: int
    seed: int


def resample(
    statistics: NDArray[np.float64], resampling: Resampling
) -> NDArray[np.float64]:
    """Sum the statistics of as many lines as there are, drawn with replacement.

    Args:
        statistics: [lines, figures], what each line adds to a corpus metric.
        resampling: How often and from which seed.

    Returns:
        [resamples, figures].
    """
    random = np.random.default_rng(resampling.seed)
    num_lines = len(statistics)
    return np.stack(
        [
            statistics[random.choice(num_lines, size=num_lines)].sum(axis=0)
            for _ in range(resampling.num_samples)
        ]
    )


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The ends of the 95 % confidence interval of resampled metrics."""
    ordered = sorted(values)
    tail = len(ordered) // _TAIL
    return ordered[tail], ordered[-tail - 1]

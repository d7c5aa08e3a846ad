import numpy as np
import pytest

from pipelines.metrics.bootstrap import Resampling, confidence_interval


def first(sums):
    return float(sums[0])


def test_a_resample_has_as_many_lines_as_there_are():
    lines = [[value, 1] for value in range(7)]
    result = confidence_interval(lines, lambda s: float(s[1]), Resampling(20, seed=1))
    assert result == (7, 7)


def test_draws_are_those_of_numpys_default_generator():
    lines = [[1.0], [10.0], [100.0]]
    random = np.random.default_rng(5)
    sums = [sum(lines[line][0] for line in random.choice(3, size=3)) for _ in range(30)]
    result = confidence_interval(lines, first, Resampling(30, seed=5))
    assert result == (min(sums), max(sums))


@pytest.mark.parametrize(
    ("num_samples", "expected"), [(1, (0, 0)), (39, (0, 38)), (80, (2, 77))]
)
def test_each_end_leaves_out_a_fortieth_of_the_resamples(num_samples, expected):
    scores = iter(range(num_samples - 1, -1, -1))
    resampling = Resampling(num_samples, seed=1)
    assert confidence_interval([[1]], lambda _: next(scores), resampling) == expected


def test_the_interval_is_a_function_of_the_seed():
    lines = [[value] for value in range(50)]
    result = confidence_interval(lines, first, Resampling(40, seed=1))
    assert result == confidence_interval(lines, first, Resampling(40, seed=1))
    assert result != confidence_interval(lines, first, Resampling(40, seed=2))

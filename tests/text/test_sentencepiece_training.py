from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.text.sentencepiece_training import reservoir_sample


@given(st.lists(st.integers(), unique=True), st.integers(1, 20), st.integers(0, 5))
def test_a_sample_has_its_size_and_comes_from_the_stream(items, size, seed):
    sample = reservoir_sample(iter(items), size=size, seed=seed)
    assert len(sample) == min(size, len(items))
    assert set(sample) <= set(items)
    assert sample == reservoir_sample(items, size=size, seed=seed)


@pytest.mark.parametrize("size", [4, 9])
def test_a_short_stream_is_taken_whole_and_in_order(size):
    assert reservoir_sample("abcd", size=size, seed=1) == list("abcd")


def test_every_item_is_equally_likely():
    counts: Counter[int] = Counter()
    for seed in range(2000):
        counts.update(reservoir_sample(range(10), size=3, seed=seed))
    assert all(500 < counts[item] < 700 for item in range(10))

"""The best words of a row."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.artifacts.vocab import PAD, UNK
from pipelines.search.candidates import best_words, topk


@given(st.integers(0, 2**32), st.integers(1, 700), st.integers(1, 20))
@settings(deadline=None)
def test_topk_finds_the_largest_values_of_rows_of_any_length(seed, num_ids, count):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn((3, num_ids), generator=generator)
    count = min(count, num_ids)
    found, ids = topk(values, count)
    assert torch.equal(found, values.topk(count).values)
    assert torch.equal(found, values.gather(1, ids))
    assert all(len(set(row)) == count for row in ids.tolist())


@pytest.mark.parametrize("allow_unk", [True, False])
def test_best_words_leave_out_what_may_not_be_written(allow_unk):
    log_probs = torch.linspace(0, -9, 10)[None]
    scores, ids = best_words(log_probs, beam=2, allow_unk=allow_unk)
    possible = ids[scores > -torch.inf].tolist()
    assert PAD not in possible
    assert (UNK in possible) == allow_unk
    assert len(possible) >= 3
    assert torch.equal(log_probs[0].isinf(), torch.zeros(10, dtype=torch.bool))

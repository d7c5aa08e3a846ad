"""Top-k over the beams of several sentences."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.search.topk import NextTokens, beam_top_k, concatenate


@given(
    st.integers(0, 2**32),
    st.lists(st.integers(1, 4), min_size=1, max_size=4),
    st.sampled_from([1, 5, 16, 64, 320, 321]),
    st.integers(1, 20),
)
@settings(deadline=None)
def test_candidates_are_the_largest_of_each_sentence(seed, widths, num_ids, count):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn((sum(widths), num_ids), generator=generator)
    shift = torch.randn(sum(widths), generator=generator)
    rows, ids, possible = beam_top_k(values, shift, widths, count=count)
    total = (values + shift[:, None]).double()
    for own, found, words, real in zip(
        torch.arange(sum(widths)).split(widths), rows, ids, possible, strict=True
    ):
        chosen = list(zip(found[real].tolist(), words[real].tolist(), strict=True))
        assert chosen == sorted(set(chosen))
        assert len(chosen) == min(count, len(own) * num_ids)
        expected = total[own].flatten().topk(len(chosen)).values
        assert sorted(total[row, word].item() for row, word in chosen) == sorted(
            expected.tolist()
        )
        assert set(found[real].tolist()) <= set(own.tolist())


@given(
    st.integers(0, 2**32),
    st.lists(st.integers(1, 4), min_size=1, max_size=4),
    st.sampled_from([5, 16, 64, 320]),
    st.integers(1, 20),
)
@settings(deadline=None)
def test_ties_do_not_depend_on_the_rest_of_the_batch(seed, widths, num_ids, count):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randint(-4, 0, (sum(widths), num_ids), generator=generator).float()
    shift = torch.randint(-2, 1, (sum(widths),), generator=generator).float()
    rows, ids, possible = beam_top_k(values, shift, widths, count=count)
    first = 0
    for n, width in enumerate(widths):
        own = slice(first, first + width)
        alone = beam_top_k(values[own], shift[own], [width], count=count)
        assert (rows[n][possible[n]] - first).tolist() == alone[0][alone[2]].tolist()
        assert ids[n][possible[n]].tolist() == alone[1][alone[2]].tolist()
        first += width


def test_ties_go_to_the_first_row_and_id():
    values = torch.tensor([[-2.0, -1, -2, -1, -2], [-1, -2, -2, -2, -1]])
    rows, ids, _ = beam_top_k(values, torch.zeros(2), [2], count=6)
    expected = [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 4)]
    assert list(zip(rows[0].tolist(), ids[0].tolist(), strict=True)) == expected


def test_impossible_tokens_are_no_candidates():
    values = torch.full((3, 64), -torch.inf)
    values[0, 5], values[2, 7] = -1.0, -2.0
    rows, ids, possible = beam_top_k(values, torch.zeros(3), [1, 2], count=3)
    assert possible.sum(1).tolist() == [1, 1]
    assert (rows[possible].tolist(), ids[possible].tolist()) == ([0, 2], [5, 7])


@pytest.mark.parametrize("num_ids", [5, 64])
def test_nan_stays_a_candidate(num_ids):
    values = torch.full((1, num_ids), torch.nan)
    _, _, possible = beam_top_k(values, torch.zeros(1), [1], count=2)
    assert possible.all()


def test_parts_with_unequal_numbers_of_candidates_are_concatenated():
    def part(num_sentences, places):
        full = torch.ones(num_sentences, places)
        return NextTokens(full.long(), full.long(), -full, full[:, 0])

    found = concatenate([part(2, 3), part(1, 5)])
    assert found.log_prob_SC.tolist()[0] == [-1, -1, -1, -torch.inf, -torch.inf]
    assert found.row_SC.shape == (3, 5)
    assert len(found.eos_log_prob_N) == 3

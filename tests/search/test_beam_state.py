"""Choices of one step of beam search, from candidates given by hand."""

import math

import pytest
import torch

from pipelines.artifacts.vocab import EOS
from pipelines.errors import DivergenceError
from pipelines.search.beam_state import BeamState
from pipelines.search.settings import SearchSettings
from pipelines.search.topk import NextTokens

A, B, C = 3, 4, 5


def settings(**changes):
    return SearchSettings(**({"beam": 2, "length_penalty": 0.0} | changes))


def candidates(*sentences, eos=()):
    """For each sentence its (row, token, probability); `eos` is by row."""
    columns = [list(zip(*each, strict=True)) for each in sentences]
    rows, ids, probabilities = (
        torch.tensor([column[n] for column in columns]) for n in range(3)
    )
    return NextTokens(rows, ids, probabilities.log(), torch.tensor(eos).log())


def step(state, *sentences, eos=()):
    result = state.choose(candidates(*sentences, eos=eos))
    state.update(result)
    return result


def test_choosing_changes_nothing_until_the_update():
    state = BeamState([5], settings())
    live = state.live
    result = state.choose(candidates([(0, A, 0.5), (0, EOS, 0.3), (0, B, 0.2)]))
    assert state.live is live
    assert state.ended == [[]]
    assert state.ids_NT.shape == (1, 0)
    state.update(result)
    assert state.ids_NT.tolist() == [[A]]  # B is no longer as likely as the end
    assert [h.ids for h in state.ended[0]] == [()]


def test_the_standard_beam_keeps_its_width_beside_a_finished_hypothesis():
    state = BeamState([5], settings(nbest=2))
    result = step(state, [(0, A, 0.5), (0, EOS, 0.3), (0, B, 0.1), (0, C, 0.05)])
    assert result.tokens_N.tolist() == [A, B]
    assert state.live.widths == [2]
    (finished,) = state.ended[0]
    assert finished.finished
    assert finished.log_prob == pytest.approx(math.log(0.3))


def test_the_papers_beam_is_narrowed_by_a_finished_hypothesis():
    state = BeamState([5], settings(search="paper", nbest=2))
    result = step(state, [(0, A, 0.5), (0, EOS, 0.3), (0, B, 0.2)])
    assert result.tokens_N.tolist() == [A]
    result = step(state, [(0, B, 0.5), (0, EOS, 0.4), (0, A, 0.1)])
    assert result.tokens_N.tolist() == [B]  # one place is left


def test_a_live_hypothesis_that_cannot_win_is_dropped():
    state = BeamState([5], settings())
    result = step(state, [(0, EOS, 0.6), (0, A, 0.3), (0, B, 0.1)])
    assert result.to_beat_B.tolist() == pytest.approx([math.log(0.6)])
    assert len(result.rows_N) == 0
    assert state.live.widths == []
    assert [h.ids for h in state.ranked()[0]] == [()]


def test_only_eos_may_follow_at_the_length_limit():
    state = BeamState([1], settings(nbest=2))
    step(state, [(0, A, 0.6), (0, B, 0.4)])
    step(state, [(0, C, 0.9), (1, C, 0.9)], eos=(0.1, 0.5))
    best, second = state.ranked()[0]
    assert (best.ids, second.ids) == ((B,), (A,))
    assert best.log_prob == pytest.approx(math.log(0.4 * 0.5))
    assert best.token_log_probs == pytest.approx([math.log(0.4), math.log(0.5)])


def test_a_sentence_that_cannot_continue_returns_its_live_hypotheses():
    state = BeamState([1, 3], settings())
    step(state, [(0, A, 0.9), (0, B, 0.1)], [(1, A, 0.9), (1, B, 0.1)])
    step(
        state,
        [(0, A, 0.5), (1, A, 0.5)],
        [(2, A, 0.5), (3, A, 0.5)],
        eos=(0.0, 0.0, 0.0, 0.0),
    )
    assert [(h.ids, h.finished) for h in state.ended[0]] == [
        ((A,), False),
        ((B,), False),
    ]
    assert state.active_S.tolist() == [1]


def test_equally_likely_candidates_keep_their_order():
    state = BeamState([5], settings())
    result = step(state, [(0, A, 0.25), (0, B, 0.25), (0, C, 0.25)])
    assert result.tokens_N.tolist() == [A, B]


def test_log_probabilities_that_are_not_numbers_are_an_error():
    with pytest.raises(DivergenceError, match="NaN"):
        BeamState([5], settings()).choose(candidates([(0, A, math.nan)]))

"""Beam search against exhaustive search and against a naive one in plain Python."""

import itertools
import math
from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.artifacts.vocab import EOS, PAD, UNK
from pipelines.errors import DivergenceError
from pipelines.search.beam import beam_search
from pipelines.search.hypothesis import Hypothesis
from pipelines.search.settings import SearchSettings
from pipelines.search.topk import NextTokens, beam_top_k

CPU = torch.device("cpu")


def next_tokens(values, live, count):
    """Candidates of a model with these log-probabilities [N, V]."""
    allowed = values.clone()
    allowed[:, list(live.banned)] = -torch.inf
    rows, ids, possible = beam_top_k(allowed, live.log_prob_N, live.widths, count=count)
    return NextTokens(
        rows, ids, values[rows, ids].where(possible, -torch.inf), values[:, EOS]
    )


@dataclass
class TableStep:
    """A fake model: a table of log-probabilities [sentence, position, last token, V].

    The state [N, 2] holds each row's sentence and position.
    """

    table: torch.Tensor
    num_rows_scored: int = 0

    def __call__(self, tokens, state, live, *, count):
        self.num_rows_scored += len(tokens)
        values = self.table[state[:, 0], state[:, 1], tokens]
        return next_tokens(values, live, count), state + torch.tensor([0, 1])

    def select(self, state, rows):
        return state[rows]

    def start(self, sentences):
        return torch.tensor([[sentence, 0] for sentence in sentences])

    def row(self, sentence, ids):
        last = ids[-1] if ids else EOS
        return self.table[sentence, len(ids), last].tolist()


def random_step(
    seed, *, sentences=1, length=3, vocab=5, holes=0.0, dtype=torch.float64
):
    """A random table; a share `holes` of the tokens is impossible."""
    generator = torch.Generator().manual_seed(seed)
    shape = (sentences, length + 1, vocab, vocab)
    logits = 2 * torch.randn(shape, generator=generator, dtype=torch.float64)
    logits[torch.rand(shape, generator=generator) < holes] = -torch.inf
    table = logits.log_softmax(-1)
    table[table.isnan()] = -torch.inf
    return TableStep(table.to(dtype))


def search(step, chosen, *, limits):
    return beam_search(
        step,
        step.start(range(len(limits))),
        num_sentences=len(limits),
        max_lengths=limits,
        settings=chosen,
        device=CPU,
    )


def norm_of(chosen, length):
    if chosen.search == "paper":
        return 1.0
    if chosen.length_penalty == "average":
        return length
    return ((5 + length) / 6) ** chosen.length_penalty


def naive_search(step, sentence, limit, chosen):
    """The documented rules, one candidate at a time, without stopping early."""
    banned = {PAD} if chosen.allow_unk else {PAD, UNK}
    live: list[tuple[tuple[int, ...], float]] = [((), 0.0)]
    finished: list[tuple[tuple[int, ...], float, float]] = []
    places = chosen.beam
    while live and not (finished and chosen.beam == 1):
        candidates = [
            (ids, word, log_prob + score)
            for ids, log_prob in live
            for word, score in enumerate(step.row(sentence, ids))
            if word not in banned and score > -math.inf
            if (len(ids) >= chosen.min_length if word == EOS else len(ids) < limit)
        ]
        if not candidates and not finished:
            finished = [
                (ids, p, p / norm_of(chosen, max(1, len(ids)))) for ids, p in live
            ]
            break
        candidates.sort(key=lambda candidate: -candidate[2])
        best = candidates[:places]
        ends = [
            (ids, p, p / norm_of(chosen, len(ids) + 1))
            for ids, w, p in best
            if w == EOS
        ]
        finished += ends
        if chosen.search == "paper":
            places -= len(ends)
            candidates = best
        live = [((*ids, word), p) for ids, word, p in candidates if word != EOS]
        live = live[: chosen.beam]
    finished.sort(key=lambda hypothesis: -hypothesis[2])
    return [(ids, pytest.approx(score)) for ids, _, score in finished[: chosen.nbest]]


def pairs(hypotheses):
    return [(hypothesis.ids, hypothesis.score) for hypothesis in hypotheses]


def forced_log_prob(step, sentence, hypothesis):
    words = [*hypothesis.ids, EOS] if hypothesis.finished else list(hypothesis.ids)
    return sum(
        step.row(sentence, hypothesis.ids[:i])[word] for i, word in enumerate(words)
    )


seeds = st.integers(0, 2**32)
searches = st.sampled_from(["standard", "paper"])
penalties = st.sampled_from([0.0, 0.6, 1.0, "average"])


@st.composite
def search_settings(draw):
    beam = draw(st.integers(1, 7))
    return SearchSettings(
        beam=beam,
        nbest=draw(st.integers(1, beam)),
        search=draw(searches),
        length_penalty=draw(penalties),
        allow_unk=draw(st.booleans()),
        min_length=draw(st.sampled_from([0, 0, 1, 3])),
    )


@given(seeds, search_settings(), st.integers(4, 6), st.sampled_from([0.0, 0.3, 0.7]))
@settings(deadline=None, max_examples=150)
def test_search_agrees_with_the_naive_search_on_every_sentence(
    seed, chosen, vocab, holes
):
    limits = [max(limit, chosen.min_length) for limit in (0, 4, 1, 3, 4)]
    step = random_step(
        seed, sentences=len(limits), length=max(limits), vocab=vocab, holes=holes
    )
    found = search(step, chosen, limits=limits)
    for sentence, limit in enumerate(limits):
        expected = naive_search(step, sentence, limit, chosen)
        assert pairs(found[sentence]) == expected


@given(seeds, searches, st.integers(3, 7), st.integers(1, 7))
@settings(deadline=None)
def test_equal_scores_are_ranked_as_documented(seed, kind, beam, nbest):
    step = random_step(seed, length=3)
    few_values = step.table.mul(2).round().div(2).clamp(max=0)
    step = TableStep(few_values)
    chosen = SearchSettings(beam=beam, nbest=min(nbest, beam), search=kind)
    found = search(step, chosen, limits=[3])[0]
    assert pairs(found) == naive_search(step, 0, 3, chosen)


@given(seeds, searches, penalties, st.booleans(), st.integers(0, 3), st.integers(0, 2))
@settings(deadline=None)
def test_a_wide_beam_equals_exhaustive_search(seed, kind, penalty, unk, limit, least):
    least = min(least, limit)
    vocab = 5
    step = random_step(seed, length=limit, vocab=vocab)
    beam = vocab ** (limit + 1)
    chosen = SearchSettings(
        beam=beam,
        nbest=beam,
        search=kind,
        length_penalty=penalty,
        allow_unk=unk,
        min_length=least,
    )
    words = [word for word in range(vocab) if word != EOS and word != PAD]
    words = [word for word in words if unk or word != UNK]
    every = {
        ids: forced_log_prob(step, 0, Hypothesis(ids, 0.0, 0.0, (), finished=True))
        / norm_of(chosen, length + 1)
        for length in range(least, limit + 1)
        for ids in itertools.product(words, repeat=length)
    }
    found = search(step, chosen, limits=[limit])[0]
    assert {h.ids: h.score for h in found} == pytest.approx(every)
    assert found[0].score == max(h.score for h in found)


@given(seeds, searches, penalties, st.integers(0, 6))
@settings(deadline=None)
def test_beam_one_is_greedy_search(seed, kind, penalty, least):
    step = random_step(seed, length=6, vocab=6)
    ids: list[int] = []
    log_prob = 0.0
    while True:
        row = step.row(0, ids)
        row[PAD] = row[UNK] = -math.inf
        if len(ids) < least:
            row[EOS] = -math.inf
        word = max(range(6), key=row.__getitem__) if len(ids) < 6 else EOS
        log_prob += row[word]
        if word == EOS:
            break
        ids.append(word)
    chosen = SearchSettings(
        beam=1, search=kind, length_penalty=penalty, min_length=least
    )
    (found,) = search(step, chosen, limits=[6])[0]
    assert found.ids == tuple(ids)
    assert found.log_prob == pytest.approx(log_prob)


@given(seeds, search_settings(), st.sampled_from([torch.float32, torch.float64]))
@settings(deadline=None)
def test_log_probabilities_are_those_of_forced_scoring(seed, chosen, dtype):
    step = random_step(seed, sentences=3, length=4, holes=0.2, dtype=dtype)
    for sentence, hypotheses in enumerate(search(step, chosen, limits=[4, 3, 3])):
        for hypothesis in hypotheses:
            forced = forced_log_prob(step, sentence, hypothesis)
            assert hypothesis.log_prob == pytest.approx(forced)
            assert math.isfinite(hypothesis.score)


@pytest.mark.slow
@given(seeds, search_settings())
@settings(deadline=None)
def test_a_sentence_does_not_depend_on_its_batch(seed, chosen):
    limits = [max(limit, chosen.min_length) for limit in (4, 0, 3, 4, 1, 2)]
    step = random_step(seed, sentences=len(limits), length=4, vocab=6, holes=0.3)
    together = search(step, chosen, limits=limits)
    alone = [
        beam_search(
            step,
            step.start([sentence]),
            num_sentences=1,
            max_lengths=[limit],
            settings=chosen,
            device=CPU,
        )[0]
        for sentence, limit in enumerate(limits)
    ]
    assert together == alone


@given(seeds, search_settings())
@settings(deadline=None)
def test_the_nbest_is_sorted_distinct_and_within_its_limits(seed, chosen):
    limits = [3, 5]
    step = random_step(seed, sentences=2, length=5, vocab=6)
    for limit, hypotheses in zip(
        limits, search(step, chosen, limits=limits), strict=True
    ):
        scores = [hypothesis.score for hypothesis in hypotheses]
        assert scores == sorted(scores, reverse=True)
        assert len({hypothesis.ids for hypothesis in hypotheses}) == len(hypotheses)
        assert 1 <= len(hypotheses) <= chosen.nbest
        for hypothesis in hypotheses:
            assert hypothesis.finished
            assert chosen.min_length <= len(hypothesis.ids) <= limit
            assert not {PAD, EOS} & set(hypothesis.ids)
            assert chosen.allow_unk or UNK not in hypothesis.ids
            if chosen.search == "paper":
                assert hypothesis.score == hypothesis.log_prob


def fixed_step(rows, *, length=6):
    """The same probabilities after each last word, at any position."""
    table = torch.full((6, 6), -torch.inf, dtype=torch.float64)
    for last, row in rows.items():
        for word, probability in row.items():
            table[last, word] = math.log(probability)
    return TableStep(table.expand(1, length + 1, 6, 6))


def test_a_translation_may_be_empty():
    step = fixed_step({EOS: {EOS: 0.9, 3: 0.1}, 3: {EOS: 1.0}})
    (found,) = search(step, SearchSettings(beam=1), limits=[6])[0]
    assert found.ids == ()
    assert found.log_prob == found.score == pytest.approx(math.log(0.9))
    assert found.finished


@pytest.mark.parametrize("kind", ["standard", "paper"])
def test_a_translation_has_at_least_the_minimum_length(kind):
    step = fixed_step({EOS: {EOS: 0.9, 3: 0.1}, 3: {EOS: 0.7, 4: 0.3}, 4: {EOS: 1.0}})
    for least, ids in ((0, ()), (1, (3,)), (2, (3, 4))):
        chosen = SearchSettings(beam=2, nbest=2, search=kind, min_length=least)
        found = search(step, chosen, limits=[6])[0]
        assert found[0].ids == ids
        assert found[0].finished


def test_a_hypothesis_below_the_minimum_length_is_returned_unfinished():
    step = fixed_step({EOS: {3: 1.0}, 3: {EOS: 1.0}})
    found = search(step, SearchSettings(beam=2, min_length=2), limits=[6])[0]
    assert found == [Hypothesis((3,), 0.0, 0.0, (0.0,), finished=False)]


def test_unk_is_written_only_when_allowed():
    step = fixed_step({EOS: {UNK: 0.8, 3: 0.2}, UNK: {EOS: 1.0}, 3: {EOS: 1.0}})
    chosen = SearchSettings(beam=2, nbest=2)
    assert [h.ids for h in search(step, chosen, limits=[6])[0]] == [(3,)]
    chosen = replace(chosen, allow_unk=True)
    assert [h.ids for h in search(step, chosen, limits=[6])[0]] == [(UNK,), (3,)]


def test_only_in_the_papers_search_a_finished_hypothesis_narrows_the_beam():
    step = fixed_step(
        {
            EOS: {EOS: 0.5, 3: 0.3, 4: 0.2},
            3: {5: 0.4, EOS: 0.6},
            4: {EOS: 1.0},
            5: {EOS: 1},
        }
    )
    chosen = SearchSettings(beam=2, nbest=2, length_penalty=0.0)
    standard = search(step, chosen, limits=[6])[0]
    paper = search(step, replace(chosen, search="paper"), limits=[6])[0]
    assert [h.ids for h in standard] == [(), (4,)]
    assert [h.ids for h in paper] == [(), (3,)]


def test_the_length_penalty_favours_longer_translations():
    step = fixed_step({EOS: {EOS: 0.4, 3: 0.6}, 3: {EOS: 0.6, 4: 0.4}, 4: {EOS: 0.9}})
    chosen = SearchSettings(beam=4, length_penalty=0.0)
    assert search(step, chosen, limits=[6])[0][0].ids == ()
    chosen = replace(chosen, length_penalty="average")
    assert search(step, chosen, limits=[6])[0][0].ids == (3, 4)


def test_at_the_limit_only_eos_is_taken():
    step = fixed_step({EOS: {3: 1.0}, 3: {3: 0.9, EOS: 0.1}})
    (found,) = search(step, SearchSettings(beam=1), limits=[2])[0]
    assert found.ids == (3, 3)
    assert found.finished
    assert found.log_prob == pytest.approx(math.log(0.9 * 0.1))


@pytest.mark.parametrize("kind", ["standard", "paper"])
def test_a_hypothesis_that_cannot_finish_is_returned_unfinished(kind):
    step = fixed_step({EOS: {3: 0.7, 4: 0.3}, 3: {3: 1.0}, 4: {}})
    chosen = SearchSettings(beam=2, nbest=2, search=kind)
    found = search(step, chosen, limits=[3])[0]
    assert [(h.ids, h.finished) for h in found] == [((3, 3, 3), False)]
    assert found[0].log_prob == pytest.approx(math.log(0.7))


def test_unfinished_hypotheses_are_dropped_when_one_has_finished():
    step = fixed_step({EOS: {3: 0.9, 4: 0.1}, 3: {3: 1.0}, 4: {EOS: 1.0}})
    chosen = SearchSettings(beam=2, nbest=2)
    assert [h.ids for h in search(step, chosen, limits=[3])[0]] == [(4,)]


def test_a_sentence_without_any_possible_token_is_empty_and_unfinished():
    found = search(fixed_step({}), SearchSettings(beam=2), limits=[3])[0]
    assert found == [Hypothesis((), 0.0, 0.0, (), finished=False)]


def test_search_stops_when_no_live_hypothesis_can_win():
    step = fixed_step({EOS: {EOS: 0.9, 3: 0.1}, 3: {3: 1.0}}, length=99)
    search(step, SearchSettings(beam=4, length_penalty=0.0), limits=[99])
    assert step.num_rows_scored == 1


def test_only_live_hypotheses_are_scored():
    rows = {EOS: {3: 0.5, 4: 0.5}, 3: {EOS: 0.9, 5: 0.1}, 4: {5: 1.0}, 5: {EOS: 1.0}}
    step = fixed_step(rows)
    chosen = SearchSettings(beam=2, nbest=2, search="paper")
    search(step, chosen, limits=[6])
    # one at the start, two words, then one place is taken by what has finished
    assert step.num_rows_scored == 1 + 2 + 1


def test_the_state_is_not_copied_while_rows_stay_the_same():
    class Immovable(TableStep):
        def select(self, state, rows):
            raise AssertionError("selected")

    step = Immovable(fixed_step({EOS: {3: 1.0}, 3: {EOS: 1.0}}).table)
    assert search(step, SearchSettings(beam=1), limits=[6])[0][0].ids == (3,)


def test_nan_from_the_model_is_an_error():
    step = TableStep(torch.full((1, 4, 5, 5), math.nan))
    with pytest.raises(DivergenceError, match="NaN"):
        search(step, SearchSettings(beam=2), limits=[3])


def test_no_sentences_give_no_translations():
    step = random_step(1)
    assert search(step, SearchSettings(), limits=[]) == []


@pytest.mark.parametrize("limits", [[1], [1, -1]])
def test_length_limits_are_checked(limits):
    step = random_step(1, sentences=2)
    with pytest.raises(ValueError, match="max_lengths"):
        beam_search(
            step,
            step.start([0, 1]),
            num_sentences=2,
            max_lengths=limits,
            settings=SearchSettings(),
            device=CPU,
        )
    with pytest.raises(ValueError, match="min_length 2"):
        search(step, SearchSettings(min_length=2), limits=[2, 1])


@pytest.mark.parametrize("beam", [2, 3, 5])
def test_a_confident_model_is_followed_past_many_unlikely_ends(beam):
    """Few ids and a certain output: EOS is the second choice at every step."""
    length, sure = 12, 3
    table = torch.full((1, length + 1, 5), -30.0)
    table[:, :, EOS] = -9.0
    table[:, :length, sure] = -1e-4
    table[:, length, EOS] = -1e-4

    class Certain:
        def __call__(self, tokens_N, state, live, *, count):
            return next_tokens(table[0, state], live, count), state + 1

        def select(self, state, rows_N):
            return state[rows_N]

    found = beam_search(
        Certain(),
        torch.zeros(1, dtype=torch.long),
        num_sentences=1,
        max_lengths=[length],
        settings=SearchSettings(beam=beam, length_penalty=0.6),
        device=CPU,
    )
    assert found[0][0].ids == (sure,) * length

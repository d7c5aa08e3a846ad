"""Draws against exact probabilities, greedy search and forced decoding."""

import math
from collections import Counter
from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.artifacts.vocab import EOS, PAD, UNK
from pipelines.config import TranslateConfig
from pipelines.errors import DivergenceError
from pipelines.search import sampling as sampling_module
from pipelines.search.forced_decoding import ForcedDecoder, ForcedTargets
from pipelines.search.hypothesis import Hypothesis
from pipelines.search.sampling import draw_tokens, sample
from pipelines.search.settings import SearchSettings
from pipelines.search.topk import NextTokens
from pipelines.search.translator import Translator
from tests.search.test_beam import fixed_step, norm_of, random_step
from tests.search.test_translator import KEYS, LINES, MEMBERS, lines

CPU = torch.device("cpu")


@dataclass
class TableDraw:
    """A fake model: log-probabilities [sentence, position, last token, V]."""

    table: torch.Tensor

    def draw(self, tokens, state, request):
        values = self.table[state[:, 0], state[:, 1], tokens]
        allowed = values.clone()
        allowed[:, list(request.banned)] = -torch.inf
        rows, ids, possible = draw_tokens(
            allowed,
            request.uniform_N,
            top_k=request.top_k,
            temperature=request.temperature,
        )
        log_probs = values[rows, ids].where(possible, -torch.inf)
        drawn = NextTokens(rows, ids, log_probs, values[:, EOS])
        return drawn, state + torch.tensor([0, 1])

    def select(self, state, rows):
        return state[rows]


def draws(step, chosen, *, limits):
    return sample(
        TableDraw(step.table.float()),
        torch.tensor([[sentence, 0] for sentence in range(len(limits))]),
        sources=[[4, 5, sentence, EOS] for sentence in range(len(limits))],
        max_lengths=limits,
        settings=chosen,
        device=CPU,
    )


def next_probabilities(row, length, limit, chosen):
    """Exact probabilities of the next token, in plain Python."""
    if length == limit:
        return {EOS: 1.0}
    banned = {PAD} if chosen.allow_unk else {PAD, UNK}
    if length < chosen.min_length:
        banned.add(EOS)
    scores = {w: p / chosen.temperature for w, p in enumerate(row) if w not in banned}
    if chosen.top_k:
        best = sorted(scores, key=scores.__getitem__)[-chosen.top_k :]
        scores = {word: scores[word] for word in best}
    weights = {word: math.exp(score) for word, score in scores.items()}
    return {word: weight / sum(weights.values()) for word, weight in weights.items()}


def sequence_probabilities(step, limit, chosen):
    found: dict[tuple[int, ...], float] = {}
    live: dict[tuple[int, ...], float] = {(): 1.0}
    for length in range(limit + 1):
        longer: dict[tuple[int, ...], float] = {}
        for ids, probability in live.items():
            row = step.row(0, ids)
            for word, p in next_probabilities(row, length, limit, chosen).items():
                if word == EOS:
                    found[ids] = probability * p
                else:
                    longer[*ids, word] = probability * p
        live = longer
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"temperature": 0.5},
        {"temperature": 3.0, "top_k": 2},
        {"top_k": 3, "allow_unk": True},
        {"min_length": 1},
        {"min_length": 2, "top_k": 1000},
    ],
    ids=str,
)
def test_draws_have_the_probabilities_of_the_model(options):
    number, limit = 20_000, 2
    step = random_step(3, length=limit, vocab=6)
    chosen = SearchSettings(sample=True, nbest=number, **options)
    found = Counter(h.ids for h in draws(step, chosen, limits=[limit])[0])
    exact = sequence_probabilities(step, limit, chosen)
    assert sum(exact.values()) == pytest.approx(1.0)
    assert set(found) <= {ids for ids, p in exact.items() if p > 0}
    expected = {ids: p * number for ids, p in exact.items() if p * number > 5}
    statistic = sum((found[ids] - n) ** 2 / n for ids, n in expected.items())
    assert len(expected) > 3
    assert statistic < len(expected) + 4 * math.sqrt(2 * len(expected))


def test_draws_of_a_sentence_are_independent_of_one_another():
    """Pairs of neighbours are as probable as their product says."""
    step = random_step(3, length=1, vocab=5)
    chosen = SearchSettings(sample=True, nbest=2, allow_unk=True)
    exact = sequence_probabilities(step, 1, chosen)
    number = 4000
    table = step.table.expand(number, -1, -1, -1)
    found = Counter(
        tuple(sorted(h.ids for h in pair))
        for pair in draws(replace(step, table=table), chosen, limits=[1] * number)
    )
    for one, p in exact.items():
        for other, q in exact.items():
            if one <= other:
                share = p * q * (1 if one == other else 2)
                deviation = math.sqrt(number * share * (1 - share))
                assert abs(found[one, other] - number * share) <= 4 * deviation + 1


@given(st.integers(0, 2**32), st.integers(1, 40), st.sampled_from([5, 32, 33]))
@settings(deadline=None)
def test_only_the_most_likely_tokens_are_drawn(seed, top_k, num_ids):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randint(-5, 5, (64, num_ids), generator=generator).float()
    uniform = torch.rand(64, generator=generator, dtype=torch.float64)
    rows, ids, possible = draw_tokens(values, uniform, top_k=top_k, temperature=2.0)
    assert possible.all()
    assert rows[:, 0].tolist() == list(range(64))
    least = values.topk(min(top_k, num_ids)).values[:, -1:]
    assert (values.gather(1, ids) >= least).all()
    # Of equally likely tokens no more than k are drawn from.
    one = values[:1].expand(500, -1)
    evenly = (torch.arange(500, dtype=torch.float64) + 0.5) / 500
    _, ids, _ = draw_tokens(one, evenly, top_k=top_k, temperature=1e6)
    assert len(ids.unique()) == min(top_k, num_ids)


@pytest.mark.parametrize("top_k", [0, 2])
def test_any_random_number_draws_a_possible_token(top_k):
    values = torch.tensor([[-torch.inf, 0.0, -torch.inf, -1.0, -torch.inf]] * 3)
    uniform = torch.tensor([0.0, 0.5, 1 - 2.0**-53], dtype=torch.float64)
    for temperature in (1e-300, 1.0, 1e300):
        _, ids, _ = draw_tokens(values, uniform, top_k=top_k, temperature=temperature)
        assert set(ids[:, 0].tolist()) <= {1, 3}
        assert ids[0] == 1


def test_tokens_drawn_in_blocks_are_those_drawn_together():
    values = torch.randn((9, 32), generator=torch.Generator().manual_seed(1))
    uniform = torch.linspace(0, 0.99, 9, dtype=torch.float64)
    whole = draw_tokens(values, uniform, top_k=0, temperature=1.0)[1]
    for size in (1, 64, 96):
        found = draw_tokens(
            values, uniform, top_k=0, temperature=1.0, max_weights=size
        )[1]
        assert found.tolist() == whole.tolist()


def test_the_random_numbers_of_a_seed_never_change():
    """A seed gives the same draws in the next release."""
    chosen = SearchSettings(sample=True, nbest=2, seed=7)
    found = sampling_module._uniforms([[5, 4, EOS]], chosen, num_steps=2)
    assert found.mul(2**53).long().tolist() == [
        [5070861468298706, 909979522725698],
        [2462963422161125, 6536012942919166],
    ]


@pytest.mark.parametrize("chosen", [{"top_k": 1}, {"temperature": 1e-30}], ids=str)
@pytest.mark.parametrize("seeds", [(1,), (1, 2)])
def test_a_draw_without_choice_is_greedy_search(chosen, seeds):
    loaded = MEMBERS["fp32 by onednn", seeds]
    greedy = Translator(loaded, TranslateConfig(beam=1)).translate(LINES)
    config = TranslateConfig(sample=True, nbest=3, **chosen)
    drawn = Translator(loaded, config).translate(LINES)
    # The same translation is drawn three times and is kept three times.
    assert [t.outputs for t in drawn] == [t.outputs * 3 for t in greedy]


options_of_draws = st.fixed_dictionaries(
    {
        "sample": st.just(True),
        "nbest": st.integers(1, 5),
        "top_k": st.sampled_from([0, 1, 3, 100]),
        "temperature": st.sampled_from([0.3, 1.0, 2.0]),
        "seed": st.integers(0, 2**70),
        "unk": st.sampled_from(["allow", "forbid", "copy"]),
        "max_length_ratio": st.just(1.0),
        "max_length_extra": st.just(2),
        "min_length": st.sampled_from([0, 2]),
        "max_length": st.sampled_from([0, 4]),
    }
)


@pytest.mark.parametrize("key", KEYS, ids=str)
@given(lines, options_of_draws, st.integers(1, 4), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=30)
def test_draws_depend_on_their_line_alone(key, texts, chosen, size, random):
    """Not on the batch, its neighbours, their order, or the number of draws."""

    def translate(texts, **other):
        config = TranslateConfig(**{**chosen, **other})
        return Translator(MEMBERS[key], config).translate(texts)

    whole = translate(texts)
    assert translate(texts, batch_size=size) == whole
    order = random.sample(range(len(texts)), len(texts))
    assert translate([texts[n] for n in order]) == [whole[n] for n in order]
    more = translate(texts, nbest=chosen["nbest"] + 2)
    for few, many in zip(whole, more, strict=True):
        assert not Counter(few.outputs) - Counter(many.outputs)


def test_the_number_of_threads_changes_no_draw():
    before, found = torch.get_num_threads(), []
    config = TranslateConfig(sample=True, nbest=2, batch_size=2)
    try:
        for number in (1, 3):
            torch.set_num_threads(number)
            translator = Translator(MEMBERS["fp32 by onednn", (1, 2)], config)
            found.append(translator.translate(LINES * 3))
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1]


@pytest.mark.parametrize("key", KEYS, ids=str)
@given(lines, options_of_draws)
@settings(deadline=None, max_examples=30)
def test_log_probabilities_are_those_of_forced_decoding(key, texts, chosen):
    """Without temperature and among all words, whatever the draw was from."""
    loaded = MEMBERS[key]
    pipeline = loaded.pipeline
    config = TranslateConfig(**{**chosen, "unk": "allow"})
    found = Translator(loaded, config).translate(texts)
    scores = ForcedDecoder(loaded).score(
        [
            ForcedTargets(
                pipeline.source_ids(line),
                [[*pipeline.target_vocab.ids(c.tokens), EOS] for c in each.outputs],
            )
            for line, each in zip(texts, found, strict=True)
        ]
    )
    for each, forced in zip(found, scores, strict=True):
        for output, log_probs in zip(each.outputs, forced, strict=True):
            assert output.token_log_probs == tuple(log_probs)
            assert output.log_prob == pytest.approx(sum(log_probs), rel=1e-12)


@given(st.integers(0, 2**32), st.sampled_from([0.0, 0.6, "average"]), st.booleans())
@settings(deadline=None, max_examples=50)
def test_draws_are_sorted_and_within_their_limits(seed, penalty, unk):
    limits = [2, 5]
    step = random_step(seed, sentences=2, length=5, vocab=6)
    chosen = SearchSettings(
        sample=True,
        nbest=8,
        length_penalty=penalty,
        allow_unk=unk,
        min_length=1,
        seed=seed,
    )
    for limit, found in zip(limits, draws(step, chosen, limits=limits), strict=True):
        scores = [hypothesis.score for hypothesis in found]
        assert scores == sorted(scores, reverse=True)
        assert len(found) == 8
        for h in found:
            assert h.finished
            assert 1 <= len(h.ids) <= limit
            assert not {PAD, EOS} & set(h.ids)
            assert unk or UNK not in h.ids
            assert len(h.token_log_probs) == len(h.ids) + 1
            assert h.log_prob == pytest.approx(sum(h.token_log_probs))
            norm = norm_of(chosen, len(h.ids) + 1)
            assert h.score == pytest.approx(h.log_prob / norm)


def test_another_seed_gives_other_draws():
    loaded = MEMBERS["fp32 by onednn", (1,)]
    found = [
        Translator(loaded, TranslateConfig(sample=True, seed=seed)).translate(LINES)
        for seed in (1, 1, 2)
    ]
    assert found[0] == found[1] != found[2]


def test_a_draw_without_a_possible_token_is_unfinished():
    step = fixed_step({EOS: {3: 1.0}, 3: {}})
    chosen = SearchSettings(sample=True, nbest=2)
    for limit in (1, 4):
        found = draws(step, chosen, limits=[limit])[0]
        assert found == [Hypothesis((3,), 0.0, 0.0, (0.0,), finished=False)] * 2
    found = draws(fixed_step({}), chosen, limits=[4])[0]
    assert found == [Hypothesis((), 0.0, 0.0, (), finished=False)] * 2


@pytest.mark.parametrize("top_k", [0, 2])
def test_nan_from_the_model_is_an_error(top_k):
    step = replace(random_step(1), table=torch.full((1, 4, 5, 5), math.nan))
    with pytest.raises(DivergenceError, match="NaN"):
        draws(step, SearchSettings(sample=True, top_k=top_k), limits=[3])


def test_no_sentences_give_no_draws():
    assert draws(random_step(1), SearchSettings(sample=True), limits=[]) == []

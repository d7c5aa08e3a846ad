"""Translation of lines, independent of the rest of the batch."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.artifacts.vocab import EOS, UNK_TOKEN
from pipelines.config import TranslateConfig
from pipelines.errors import OutOfMemoryError
from pipelines.search.ensemble import Ensemble
from pipelines.search.forced_decoding import ForcedDecoder, ForcedTargets
from pipelines.search.loading import LoadedEnsemble
from pipelines.search.translator import Translator
from pipelines.text.pipeline import TextPipeline
from tests.engines import ROW_INDEPENDENT
from tests.search.tiny import CPU, WORDS, make_member, make_members, make_pipeline


@pytest.fixture
def pipeline():
    return make_pipeline()


def make_translator(pipeline, *seeds, **settings):
    config = TranslateConfig(**{"beam": 3, **settings})
    loaded = make_members(*seeds, pipeline=pipeline)
    return Translator(loaded, config)


LINES = ["a b c", "", "d", "e e e e e e", " ", "a b c", "zzz a"]


def test_every_line_gets_its_translation_in_order(pipeline):
    translator = make_translator(pipeline, 1)
    together = translator.translate(LINES)
    alone = [translator.translate([line])[0] for line in LINES]
    assert [t.text for t in together] == [t.text for t in alone]
    for one, other in zip(together, alone, strict=True):
        for a, b in zip(one.outputs, other.outputs, strict=True):
            assert a == b


def test_blank_lines_never_reach_the_model(pipeline):
    found = make_translator(pipeline, 1).translate(LINES)
    blank = [not t.outputs for t in found]
    assert blank == [False, True, False, False, True, False, False]
    assert (found[1].text, found[1].tokens) == ("", ())


def test_batch_size_changes_nothing(pipeline):
    texts = [
        [t.text for t in make_translator(pipeline, 1, batch_size=n).translate(LINES)]
        for n in (1, 2, 64)
    ]
    assert texts[0] == texts[1] == texts[2]


@pytest.mark.parametrize("reverse", [True, False])
def test_a_long_source_is_cut_at_its_end_whatever_the_direction(pipeline, reverse):
    rules = replace(pipeline.settings, reverse_source=reverse)
    own = TextPipeline(rules, pipeline.source_vocab, pipeline.target_vocab)
    translator = make_translator(own, 1, max_source_length=3)
    long, short = translator.translate(["a b c d e", "a b c"])
    assert long.truncated
    assert not short.truncated
    assert long.text == short.text


lines = st.lists(
    st.lists(st.sampled_from([*WORDS, "zzz"]), max_size=6).map(" ".join),
    min_size=1,
    max_size=8,
)
searches = st.fixed_dictionaries(
    {
        "beam": st.integers(1, 5),
        "search": st.sampled_from(["standard", "paper"]),
        "length_penalty": st.sampled_from([0.0, 0.6, "average"]),
        "unk": st.sampled_from(["allow", "forbid", "copy"]),
        "max_length_ratio": st.just(1.0),
        "max_length_extra": st.just(2),
        "min_length": st.sampled_from([0, 0, 2, 5]),
        "max_length": st.sampled_from([0, 0, 5]),
    }
)
MEMBERS = {
    (name, seeds): make_members(*seeds, linears=linears)
    for name, linears in ROW_INDEPENDENT.items()
    for seeds in ((1,), (1, 2))
}


KEYS = [
    pytest.param(key, marks=() if key == ("fp32 by onednn", (1,)) else pytest.mark.slow)
    for key in MEMBERS
]


@pytest.mark.parametrize("key", KEYS, ids=str)
@given(lines, searches, st.integers(1, 4), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=30)
def test_a_translation_depends_on_its_line_alone(key, lines, search, size, random):
    """Not on the batch, its neighbours, their order, or the depth of the n-best."""

    def translate(texts, **other):
        config = TranslateConfig(**{**search, **other})
        return Translator(MEMBERS[key], config).translate(texts)

    whole = translate(lines)
    assert translate(lines, batch_size=size) == whole
    order = random.sample(range(len(lines)), len(lines))
    assert translate([lines[n] for n in order]) == [whole[n] for n in order]
    deep = translate(lines, nbest=search["beam"])
    assert [t.outputs[:1] for t in deep] == [t.outputs for t in whole]


@pytest.mark.parametrize("key", KEYS, ids=str)
@given(lines, searches)
@settings(deadline=None, max_examples=30)
def test_scores_are_those_of_forced_decoding(key, lines, search):
    loaded = MEMBERS[key]
    config = TranslateConfig(**{**search, "nbest": search["beam"], "unk": "allow"})
    found = Translator(loaded, config).translate(lines)
    pipeline = loaded.pipeline
    scores = ForcedDecoder(loaded).score(
        [
            ForcedTargets(
                pipeline.source_ids(line),
                [[*pipeline.target_vocab.ids(c.tokens), EOS] for c in each.outputs],
            )
            for line, each in zip(lines, found, strict=True)
        ]
    )
    for each, forced in zip(found, scores, strict=True):
        for output, log_probs in zip(each.outputs, forced, strict=True):
            assert output.token_log_probs == tuple(log_probs)
            assert output.log_prob == pytest.approx(sum(log_probs), rel=1e-12)


def test_beams_of_any_width_agree_on_what_is_best_when_they_see_all(pipeline):
    everything = make_translator(
        pipeline, 1, beam=400, max_length_ratio=1.0, max_length_extra=1
    )
    more = make_translator(
        pipeline, 1, beam=500, max_length_ratio=1.0, max_length_extra=1
    )
    assert everything.translate(["a"]) == more.translate(["a"])


def test_an_ensemble_of_one_model_twice_is_that_model(pipeline):
    one = make_translator(pipeline, 1).translate(LINES)
    two = make_translator(pipeline, 1, 1).translate(LINES)
    assert [t.text for t in one] == [t.text for t in two]


def test_the_number_of_threads_changes_nothing(pipeline):
    before, found = torch.get_num_threads(), []
    try:
        for number in (1, 2, 3):
            torch.set_num_threads(number)
            translator = make_translator(pipeline, 1, batch_size=2)
            found.append(translator.translate(LINES * 3))
            assert torch.get_num_threads() == number
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1] == found[2]


def lengths_of(translator):
    return [len(c.tokens) for t in translator.translate(LINES) for c in t.outputs]


@pytest.mark.parametrize("search", ["standard", "paper"])
@pytest.mark.parametrize("seeds", [(1,), (1, 2)])
def test_lengths_are_within_their_limits(pipeline, search, seeds):
    options = {"search": search, "nbest": 3, "max_length_ratio": 0.5}
    ratio = lengths_of(make_translator(pipeline, *seeds, max_length_extra=0, **options))
    assert max(ratio) <= 3  # half of the longest source and its EOS
    exact = make_translator(pipeline, *seeds, min_length=5, max_length=5, **options)
    assert set(lengths_of(exact)) == {5}
    # A minimum length raises the limit that the ratio gives.
    least = make_translator(
        pipeline, *seeds, min_length=4, max_length_extra=0, **options
    )
    assert set(lengths_of(least)) == {4}
    # A maximum length replaces the limit that ratio and extra give.
    most = make_translator(pipeline, *seeds, max_length=1, **options)
    assert max(lengths_of(most)) <= 1


def test_the_widened_beam_decides_the_chunk_size(pipeline):
    sizes = [
        make_translator(pipeline, 1, beam=beam, nbest=nbest).chunk_size
        for beam, nbest in ((4, 1), (4, 24), (24, 24))
    ]
    assert sizes == [8 * 192, 8 * 32, 8 * 32]


def test_copies_fill_unknown_places_in_order(pipeline):
    line = "zzz a yyy b xxx"
    allowed = make_translator(pipeline, 2, unk="allow").translate([line])[0]
    copied = make_translator(pipeline, 2, unk="copy").translate([line])[0]
    words = iter(["zzz", "yyy", "xxx"])
    assert UNK_TOKEN in allowed.outputs[0].tokens
    assert copied.outputs[0].tokens == tuple(
        next(words, UNK_TOKEN) if token == UNK_TOKEN else token
        for token in allowed.outputs[0].tokens
    )
    forbidden = make_translator(pipeline, 2, unk="forbid").translate([line])[0]
    assert UNK_TOKEN not in forbidden.outputs[0].tokens


def test_a_batch_holds_no_more_tokens_than_allowed(pipeline):
    translator = make_translator(pipeline, 1, batch_size=4, max_batch_tokens=8)
    batches = [numbers for numbers, _ in translator.translate_batches(LINES)]
    lengths = [len(line.split()) + 1 for line in LINES]
    assert sorted(n for numbers in batches for n in numbers) == [0, 2, 3, 5, 6]
    for numbers in batches:
        longest = max(lengths[n] for n in numbers)
        assert len(numbers) == 1 or len(numbers) * longest <= 8


class FailingEnsemble(Ensemble):
    """Fails to encode more than some sentences at once."""

    def __init__(self, error, *, most_sentences):
        super().__init__([make_member(1)])
        self.error, self.most_sentences = error, most_sentences

    def encode(self, src):
        if src.batch_sizes[0] > self.most_sentences:
            raise self.error
        return super().encode(src)


def failing_translator(pipeline, error, *, most_sentences=0):
    ensemble = FailingEnsemble(error, most_sentences=most_sentences)
    return Translator(LoadedEnsemble(ensemble, pipeline, CPU), TranslateConfig(beam=3))


def test_running_out_of_memory_halves_the_batch(pipeline, caplog):
    expected = make_translator(pipeline, 1).translate(LINES)
    error = torch.OutOfMemoryError()
    tight = failing_translator(pipeline, error, most_sentences=2)
    assert tight.translate(LINES) == expected
    assert "halving" in caplog.text


def test_too_little_memory_for_one_sentence_is_one_clear_error(pipeline):
    error = RuntimeError("DefaultCPUAllocator: can't allocate memory")
    with pytest.raises(OutOfMemoryError, match="single sentence"):
        failing_translator(pipeline, error).translate(LINES)


def test_other_failures_are_not_taken_for_too_little_memory(pipeline):
    error = RuntimeError("something else")
    with pytest.raises(RuntimeError, match="something else"):
        failing_translator(pipeline, error).translate(LINES)

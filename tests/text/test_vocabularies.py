import logging
from collections import Counter

import pytest

from pipelines.artifacts.vocab import SPECIALS
from pipelines.config import PreprocessConfig
from pipelines.errors import CorpusError
from pipelines.text.vocabularies import make_vocabularies
from tests.small_corpus import warnings_of

SRC = Counter({"a": 5, "b": 2, "x": 1, "<unk>": 1, "</s>": 3})
TGT = Counter({"A": 4, "x": 3, "b": 1, "</s>": 3})


def make(own=None, **settings):
    return make_vocabularies(PreprocessConfig(**settings), SRC, TGT, own=own or {})


def test_each_side_is_counted_by_itself():
    vocabularies = make(min_count=2)
    assert vocabularies.source.tokens == (*SPECIALS, "a", "b")
    assert vocabularies.source.counts == (0, 2, 3, 5, 2)
    assert vocabularies.target.tokens == (*SPECIALS, "A", "x")
    assert vocabularies.source_unknown_share == pytest.approx(2 / 9)
    assert vocabularies.target_unknown_share == pytest.approx(1 / 8)


def test_each_side_may_have_its_smallest_count():
    vocabularies = make(min_count=(5, 1))
    assert vocabularies.source.tokens[3:] == ("a",)
    assert vocabularies.target.tokens[3:] == ("A", "x", "b")


def test_a_shared_vocabulary_is_counted_over_both_sides(caplog):
    with caplog.at_level(logging.INFO):
        vocabularies = make(share_vocab=True, min_count=3)
    assert vocabularies.source is vocabularies.target
    assert vocabularies.source.tokens == (*SPECIALS, "a", "A", "x", "b")
    assert vocabularies.source.counts == (0, 1, 6, 5, 4, 4, 3)
    assert vocabularies.source_unknown_share == pytest.approx(1 / 9)
    assert vocabularies.target_unknown_share == 0.0
    assert caplog.messages == [
        "shared vocabulary: 7 entries, 11.11 % of the source's and 0.00 % of the "
        "target's training tokens unknown"
    ]


def test_the_sources_size_is_that_of_a_shared_vocabulary():
    vocabularies = make(share_vocab=True, source_vocab_size=5, target_vocab_size=4)
    assert len(vocabularies.target) == 5


def test_an_own_vocabulary_keeps_its_order_and_is_counted_in_the_text():
    own = {"source_vocab": ("b", "new", "a")}
    vocabularies = make(own, source_vocab="f", min_count=4, source_vocab_size=4)
    assert vocabularies.source.tokens == (*SPECIALS, "b", "new", "a")
    assert vocabularies.source.counts == (0, 2, 3, 2, 0, 5)
    assert vocabularies.source_unknown_share == pytest.approx(2 / 9)
    assert vocabularies.target.tokens[3:] == ("A",)


def test_an_own_vocabulary_may_be_shared():
    own = {"source_vocab": ("b", "A")}
    vocabularies = make(own, source_vocab="f", share_vocab=True)
    assert vocabularies.source is vocabularies.target
    assert vocabularies.source.counts == (0, 10, 6, 3, 4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target_vocab": "f"}, "f has no token of the target side's training text"),
        ({"source_vocab": "f"}, "f has no token of the source side's training text"),
        (
            {"source_vocab": "f", "share_vocab": True},
            "f has no token of the source side's training text",
        ),
    ],
)
def test_an_own_vocabulary_of_another_text_is_refused(settings, message):
    own = {name: ("Q",) for name in settings if name != "share_vocab"}
    with pytest.raises(CorpusError, match=message):
        make(own, **settings)


@pytest.mark.parametrize(
    ("tokens", "settings", "warned"),
    [
        (("b", "x"), {}, "66.7 % of the source's training tokens are not in words.txt"),
        (("a", "b", "x"), {}, ""),
        (
            ("a", "b", "x"),
            {"share_vocab": True},
            "50.0 % of the target's training tokens are not in words.txt "
            "(preprocess.source_vocab)",
        ),
    ],
)
def test_an_own_vocabulary_that_lacks_many_tokens_is_warned_about(
    caplog, tokens, settings, warned
):
    make({"source_vocab": tokens}, source_vocab="words.txt", **settings)
    warnings = warnings_of(caplog)
    assert len(warnings) == bool(warned)
    assert all(message.startswith(warned) for message in warnings)

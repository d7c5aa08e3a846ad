from collections import Counter
from pathlib import Path

import pytest

from pipelines.artifacts.corpora import RawPart
from pipelines.config import PreprocessConfig
from pipelines.errors import CorpusError
from pipelines.text import TextPipeline, TextSettings
from pipelines.text.tokenize_part import (
    LengthFilter,
    PairStatistics,
    count_tokens,
    text_warnings,
    tokenize_part,
)

FILES = (Path("a.en"), Path("a.fr"))
PIPELINE = TextPipeline(TextSettings("en", "fr", "none", False, "nfc", True))


@pytest.mark.parametrize(
    ("lengths", "max_length", "max_ratio", "reason"),
    [
        ((3, 3), 0, 0.0, ""),
        ((0, 3), 0, 0.0, "blank"),
        ((3, 0), 9, 9.0, "blank"),
        ((0, 0), 0, 0.0, "blank"),
        ((5, 5), 5, 0.0, ""),
        ((6, 5), 5, 0.0, "too_long"),
        ((5, 6), 5, 0.0, "too_long"),
        ((6, 2), 0, 3.0, ""),
        ((7, 2), 0, 3.0, "ratio"),
        ((2, 7), 0, 3.0, "ratio"),
        ((7, 1), 6, 2.0, "too_long"),
    ],
)
def test_filter_names_the_first_reason(lengths, max_length, max_ratio, reason):
    assert LengthFilter(max_length, max_ratio).reason_to_drop(*lengths) == reason


def raw_part(*pairs: tuple[bytes, bytes], first_line: int = 1) -> RawPart:
    return RawPart(0, first_line, [s for s, _ in pairs], [t for _, t in pairs])


def test_every_pair_of_a_part_is_kept_or_dropped():
    part = raw_part(
        (b"a b", b"x y"), (b"", b"z"), (b"a\x00b", b"</s> x"), first_line=101
    )
    tokenized = tokenize_part(
        part, PIPELINE, files=FILES, length_filter=LengthFilter(0, 0.0)
    )
    assert tokenized.src == [["b", "a", "</s>"], ["b", "a", "</s>"]]
    assert tokenized.tgt == [["x", "y", "</s>"], ["<unk>", "x", "</s>"]]
    assert tokenized.drops == [(102, "blank")]
    assert tokenized.statistics.examples == ["a.en:103"]
    assert tokenized.statistics.manifest_counts() == {
        "parts": 1,
        "read": 3,
        "kept": 2,
        "dropped": {"blank": 1, "too_long": 0, "ratio": 0},
        "source_tokens": 4,
        "target_tokens": 4,
        "control_characters": 1,
        "literal_specials": 1,
    }


def test_without_a_filter_blank_pairs_stay():
    tokenized = tokenize_part(
        raw_part((b"", b" ")), PIPELINE, files=FILES, length_filter=None
    )
    assert tokenized.src == tokenized.tgt == [["</s>"]]


def test_a_line_that_is_not_utf8_is_named():
    part = raw_part((b"ok", b"caf\xe9"), first_line=7)
    with pytest.raises(CorpusError, match=r"a\.fr:7: not UTF-8 at byte 4"):
        tokenize_part(part, PIPELINE, files=FILES, length_filter=None)


def test_merged_statistics_are_summed_and_keep_the_first_examples():
    whole = PairStatistics()
    for number in range(5):
        whole.merge(
            PairStatistics(
                num_read=2,
                num_controls=1,
                dropped=Counter(ratio=1),
                examples=[f"f:{number}"],
            )
        )
    assert (whole.num_read, whole.num_controls) == (10, 5)
    assert whole.describe_dropped() == "5 ratio"
    assert whole.examples == ["f:0", "f:1", "f:2"]


def test_a_part_keeps_only_the_first_examples():
    part = raw_part(*[(b"a\x00", b"b\x00")] * 3)
    tokenized = tokenize_part(part, PIPELINE, files=FILES, length_filter=None)
    assert tokenized.statistics.num_controls == 6
    assert tokenized.statistics.examples == ["a.en:1", "a.fr:1", "a.en:2"]


def test_replaced_characters_and_symbols_are_warned_about():
    statistics = PairStatistics(num_controls=2, num_specials=1, examples=["a:1", "b:3"])
    assert list(text_warnings(statistics, SETTINGS)) == [
        "2 control characters became spaces, the first at a:1, b:3",
        "1 literal special symbol became <unk>",
    ]


def test_count_tokens_counts_eos_too():
    assert count_tokens([["a", "</s>"], ["a", "b", "</s>"]]) == {
        "a": 2,
        "b": 1,
        "</s>": 2,
    }


SETTINGS = PreprocessConfig(max_length=100, max_ratio=9.0)


@pytest.mark.parametrize(
    ("reason", "sentence"),
    [
        (
            "too_long",
            "preprocess.max_length = 100 dropped 3,335 of 29,000 pairs (11.5 %): a "
            "side has more tokens; raise it or set 0",
        ),
        (
            "ratio",
            "preprocess.max_ratio = 9.0 dropped 3,335 of 29,000 pairs (11.5 %): one "
            "side is over 9 times as long as the other; raise it or set 0",
        ),
        (
            "blank",
            "dropped 3,335 of 29,000 pairs (11.5 %): a side is blank",
        ),
    ],
)
def test_many_dropped_pairs_are_warned_about_with_the_setting(reason, sentence):
    statistics = PairStatistics(num_read=29_000, dropped=Counter({reason: 3_335}))
    assert list(text_warnings(statistics, SETTINGS)) == [sentence]


def test_each_reason_is_warned_about_above_one_percent():
    dropped = Counter(too_long=10, ratio=10, blank=10)
    statistics = PairStatistics(num_read=1000, dropped=dropped)
    assert list(text_warnings(statistics, SETTINGS)) == []
    statistics.dropped["ratio"] += 1
    warnings = list(text_warnings(statistics, SETTINGS))
    assert ["max_ratio" in text for text in warnings] == [True]

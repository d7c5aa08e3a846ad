"""Pairs that preprocessing drops, and what it says about them."""

import logging

import pytest

from pipelines import preprocess
from pipelines.errors import CorpusError
from tests.small_corpus import (
    PAIRS,
    make_project,
    preprocess_project,
    text_lines,
    warnings_of,
    write_pairs,
)


def test_every_dropped_pair_is_listed_in_dropped_tsv(tmp_path):
    train = [
        ("a b", "x y"),
        ("", "x"),
        ("a", " \t"),
        ("a b c d e", "x y z"),
        ("a", "x y z"),
        ("a b", "x"),
    ]
    write_pairs(tmp_path, "train", train)
    write_pairs(tmp_path, "valid", [("a", "x"), ("", "")])
    config, layout = make_project(
        tmp_path, tokenizer="none", part_size=2, max_length=4, max_ratio=2.0
    )
    counts = preprocess.run(config, layout).counts
    assert text_lines(layout.preprocess / "dropped.tsv") == [
        "split\tpart\tline\treason",
        "train\t00000\t2\tblank",
        "train\t00001\t3\tblank",
        "train\t00001\t4\ttoo_long",
        "train\t00002\t5\tratio",
        "valid\t00000\t2\tblank",
    ]
    assert counts["train"]["dropped"] == {"blank": 2, "too_long": 1, "ratio": 1}
    for split in ("train", "valid", "test"):
        dropped = sum(counts[split]["dropped"].values())
        assert counts[split]["kept"] + dropped == counts[split]["read"]
    assert text_lines(layout.preprocess / "train.00001.src") == []


def test_the_test_split_keeps_every_line(tmp_path):
    write_pairs(tmp_path, "test", [("", ""), ("a " * 50, "x"), ("a", "")])
    config, layout = make_project(tmp_path, max_length=5, max_ratio=2.0)
    counts = preprocess.run(config, layout).counts
    assert counts["test"]["kept"] == 3
    src = text_lines(layout.preprocess / "test.00000.src")
    assert (src[0], src[2]) == ("</s>", "a </s>")


@pytest.mark.parametrize("split", ["train", "valid"])
def test_a_split_without_a_usable_pair_is_refused(tmp_path, split):
    write_pairs(tmp_path, split, [("", "x"), ("a", "")])
    config, layout = make_project(tmp_path)
    with pytest.raises(CorpusError, match=rf"{split}: no pair .* \(2 blank\)"):
        preprocess.run(config, layout)
    assert not list(tmp_path.glob("preprocess*"))


def test_dropping_over_one_percent_is_warned_about(tmp_path, caplog):
    write_pairs(tmp_path, "train", [*PAIRS * 3, ("a b c d e f g", "x"), ("", "x")])
    with caplog.at_level(logging.INFO):
        preprocess_project(tmp_path, tokenizer="none", max_length=6, max_ratio=9.0)
    assert warnings_of(caplog) == [
        "train: dropped 1 of 14 pairs (7.1 %): a side is blank",
        "train: preprocess.max_length = 6 dropped 1 of 14 pairs (7.1 %): a side has "
        "more tokens; raise it or set 0",
    ]
    assert "train: kept 12 of 14 pairs (dropped 1 blank, 1 too_long)" in caplog.messages


def test_the_test_split_is_never_filtered_or_warned_about(tmp_path, caplog):
    write_pairs(tmp_path, "test", [("", ""), ("a b c d e f g", "x")])
    with caplog.at_level(logging.WARNING):
        preprocess_project(tmp_path, tokenizer="none", max_length=6)
    assert not warnings_of(caplog)

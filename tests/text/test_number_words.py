import sys

import pytest

from pipelines.errors import ConfigError
from pipelines.text.number_words import number_pairs, write_number_corpus


@pytest.fixture(scope="module")
def pairs():
    return number_pairs()


def test_the_splits_have_their_sizes(pairs):
    assert {k: len(v) for k, v in pairs.items()} == {
        "train": 12_000,
        "valid": 500,
        "test": 500,
    }


def test_no_english_text_stands_twice(pairs):
    english = [en for split in pairs.values() for en, _ in split]
    assert len(english) == len(set(english))


@pytest.mark.parametrize(
    ("english", "french"),
    [
        ("zero", "zéro"),
        ("seventy-one", "soixante et onze"),
        ("eightieth", "quatre-vingtième"),
        ("first", "premier"),
    ],
)
def test_small_numbers_are_for_training(pairs, english, french):
    assert (english, french) in pairs["train"]


def test_kinds_can_be_told_from_the_english(pairs):
    found = dict(pair for split in pairs.values() for pair in split)
    assert found["nineteen eighty-four"] == "mille neuf cent quatre-vingt-quatre"
    assert not any("sième" in fr and "vingts" in fr for fr in found.values())


def test_text_is_plain(pairs):
    for split in pairs.values():
        for pair in split:
            for text in pair:
                assert text == " ".join(text.split())
                assert not set(text) & set(",.0123456789")


def test_a_seed_decides_the_pairs_and_the_files(pairs, tmp_path):
    write_number_corpus(tmp_path / "data")
    for split, expected in pairs.items():
        sides = [
            (tmp_path / "data" / f"{split}.{language}")
            .read_bytes()
            .decode()
            .split("\n")
            for language in ("en", "fr")
        ]
        assert [side.pop() for side in sides] == ["", ""]
        assert list(zip(*sides, strict=True)) == expected


@pytest.mark.slow
def test_another_seed_gives_other_pairs(pairs):
    assert number_pairs(2)["test"] != pairs["test"]


def test_a_missing_num2words_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "num2words.lang_EN", None)
    with pytest.raises(ConfigError) as caught:
        number_pairs()
    assert caught.value.hint == "pip install 's2s[numbers]'"

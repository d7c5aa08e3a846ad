import hashlib
import sys

import pytest

from pipelines.errors import ConfigError
from pipelines.text.number_words import (
    number_files,
    number_pairs,
    share_of_unseen_words,
)


@pytest.fixture(scope="module")
def pairs():
    return number_pairs()


def test_the_splits_have_their_sizes(pairs):
    assert {k: len(v) for k, v in pairs.items()} == {
        "train": 12_000,
        "valid": 500,
        "test": 500,
    }


def test_no_english_text_occurs_twice(pairs):
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


def test_the_target_follows_the_form_of_the_source(pairs):
    target_of = dict(pair for split in pairs.values() for pair in split)
    assert target_of["nineteen eighty-four"] == "mille neuf cent quatre-vingt-quatre"
    assert not any("sième" in fr and "vingts" in fr for fr in target_of.values())


def test_text_is_plain(pairs):
    for split in pairs.values():
        for pair in split:
            for text in pair:
                assert text == " ".join(text.split())
                assert not set(text) & set(",.0123456789")


# SHA-256 of all files in order: English to French is what it has always been.
ENGLISH_FRENCH = "b80cafa8a05dc895ddd7d764efd713c49dfdc8d32905db925ab9dbf65705aa66"


def test_files_hold_the_pairs_a_line_each(pairs):
    files = number_files(pairs, ("en", "fr"))
    assert list(files) == [
        f"{split}.{side}"
        for split in ("train", "valid", "test")
        for side in ("en", "fr")
    ]
    for split, expected in pairs.items():
        sides = [files[f"{split}.{side}"].decode().split("\n") for side in ("en", "fr")]
        assert [side.pop() for side in sides] == ["", ""]
        assert list(zip(*sides, strict=True)) == expected
    content = b"".join(files.values())
    assert hashlib.sha256(content).hexdigest() == ENGLISH_FRENCH


@pytest.mark.slow
def test_another_seed_gives_other_pairs(pairs):
    assert number_pairs(2)["test"] != pairs["test"]


def test_a_missing_num2words_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "num2words", None)
    with pytest.raises(ConfigError) as caught:
        number_pairs()
    assert caught.value.hint == "pip install 's2s[numbers]'"


# Other languages


@pytest.mark.slow
@pytest.mark.parametrize(
    ("languages", "pair"),
    [
        (("de", "en"), ("einundsiebzig", "seventy-one")),
        (("de", "en"), ("neunzehnhundertvierundachtzig", "nineteen eighty-four")),
        (("de", "en"), ("siebzigste", "seventieth")),
        (("fr", "en"), ("quatre-vingtième", "eightieth")),
        (("en", "es"), ("twenty-one", "veintiuno")),
        (("en", "es"), ("first", "primero")),
        (("en", "pt-BR"), ("sixteen", "dezesseis")),
        (("en", "pt"), ("sixteen", "dezasseis")),
        (("it", "nl"), ("ventitré", "drieëntwintig")),
        (("pl", "ru"), ("dwudziesty pierwszy", "двадцать первый")),
        (("ru", "fi"), ("сорок два", "neljäkymmentäkaksi")),
        (("cz", "tr"), ("dvacet jedna", "yirmibir")),
        (("en", "ja"), ("forty-two", "四十二")),
        (("en", "ja"), ("nineteen eighty-four", "千九百八十四年")),
        (("sv", "hu"), ("sjuttioett", "hetvenegy")),
    ],
)
def test_other_languages_say_the_same_number(languages, pair):
    splits = number_pairs(languages=languages)
    target_of = dict(pair for split in splits.values() for pair in split)
    assert target_of[pair[0]] == pair[1]


def test_years_that_look_like_cardinals_are_cardinals():
    splits = number_pairs(languages=("fr", "en"))
    target_of = dict(pair for split in splits.values() for pair in split)
    assert target_of["mille neuf cent quatre-vingt-quatre"] == (
        "one thousand nine hundred and eighty-four"
    )
    assert "nineteen eighty-four" not in target_of.values()


LANGUAGES = ["de", "es", "it", "pt", "nl", "pl", "cs", "ru", "tr", "fi", "ja", "ko"]


@pytest.mark.slow
@pytest.mark.parametrize("language", LANGUAGES)
def test_text_in_other_languages_is_plain_and_no_source_occurs_twice(language):
    for languages in ((language, "en"), ("en", language)):
        splits = number_pairs(languages=languages)
        assert [len(pairs) for pairs in splits.values()] == [12_000, 500, 500]
        sources = [src for pairs in splits.values() for src, _ in pairs]
        assert len(sources) == len(set(sources))
        for text in (text for pairs in splits.values() for p in pairs for text in p):
            assert text == " ".join(text.split()) != ""
            assert not set(text) & set(",.0123456789")


@pytest.mark.slow
def test_a_form_that_a_language_lacks_is_left_out():
    english = number_pairs(languages=("en", "cs"))  # cs has no ordinals
    sources = {src for pairs in english.values() for src, _ in pairs}
    assert "nineteen eighty-four" in sources
    assert "eightieth" not in sources
    swedish = number_pairs(languages=("en", "sv"))  # sv has no years
    sources = {src for pairs in swedish.values() for src, _ in pairs}
    assert "nineteen eighty-four" not in sources
    assert "eightieth" in sources
    vietnamese = number_pairs(languages=("vi", "en"))  # its ordinals are cardinals
    targets = {tgt for pairs in vietnamese.values() for _, tgt in pairs}
    assert "eighty" in targets
    assert "eightieth" not in targets


def test_there_are_fewer_pairs_where_num2words_has_fewer_numbers():
    splits = number_pairs(languages=("am", "en"))
    sizes = {split: len(pairs) for split, pairs in splits.items()}
    assert sizes == {"train": 3436, "valid": 179, "test": 179}


@pytest.mark.parametrize(
    "languages", [("en", "en"), ("de", "de-AT"), ("es", "es_CO"), ("cs", "cz")]
)
def test_the_same_language_twice_is_refused(languages):
    with pytest.raises(ConfigError, match="the same words twice"):
        number_pairs(languages=languages)


@pytest.mark.parametrize("language", ["zh", "xx", "en_../x", ""])
def test_an_unsupported_language_is_refused_with_a_list_of_others(language):
    with pytest.raises(ConfigError, match="no number words in") as caught:
        number_pairs(languages=("en", language))
    assert "da de en" in caught.value.hint


def test_languages_that_write_numbers_as_one_word_have_unseen_words(pairs):
    assert share_of_unseen_words(pairs) == 0
    assert share_of_unseen_words(number_pairs(languages=("de", "en"))) > 0.9

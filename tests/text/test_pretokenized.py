import logging
import random

import pytest

from pipelines.text import TextPipeline, TextSettings
from pipelines.text.number_words import number_pairs
from pipelines.text.pretokenized import (
    is_pretokenized,
    warn_about_pretokenized_text,
)
from tests.golden_data import golden_lines
from tests.small_corpus import write_lines

VOWELS = ("AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "UW")
ARPABET = [
    *(vowel + stress for vowel in VOWELS for stress in "01"),
    *("CH", "DH", "HH", "JH", "NG", "SH", "TH", "ZH", *"BDFGKLMNPRSTVWYZ"),
]
IPA = ["aː", "dʒ", "eɪ", "iː", "ɔː", "tʃ", "uː", *"bdfɡhjklmnŋprsʃtθvwzʒəɛɪʊ"]
SYLLABLES = [a + b + c for a in "bdfgklmnprst" for b in "aeiou" for c in ("", "n", "s")]


def lines(words, *, num_lines=400, least=2, most=9, weights=None):
    generator = random.Random(3)
    return [
        " ".join(generator.choices(words, weights, k=generator.randint(least, most)))
        for _ in range(num_lines)
    ]


def zipf(words):
    return [1 / rank for rank in range(1, len(words) + 1)]


LONG = [a + b for a in SYLLABLES for b in SYLLABLES]
SHORT = sorted(
    {a + b for a in "人日大小中国山水火木" for b in "上下左右東西南北前後" * 3}
)
CHARACTERS = [chr(0x4E00 + number) for number in range(900)]

SYMBOLS = {
    "ARPAbet": lines(ARPABET),
    "IPA": lines(IPA),
    "spelled letters": lines([*"abcdefghijklmnopqrstuvwxyz'"]),
    "little text": lines(ARPABET, num_lines=120),
    "with blank lines": ["", *lines(ARPABET), " "],
}
WORDS = {
    "words": lines(LONG, weights=zipf(LONG)),
    "one word a line": SYLLABLES * 5,
    "one letter a line": [*"abcdefgh"] * 50,
    "few long words": lines(["the", "cat", "dog", "runs", "sleeps", "and"]),
    "Japanese, segmented": lines(CHARACTERS + SHORT, weights=zipf(CHARACTERS + SHORT)),
    "number words": [english for english, _ in number_pairs()["valid"]],
    "number words, French": [french for _, french in number_pairs()["valid"]],
    "too little": lines(ARPABET, num_lines=5),
    "nothing": [],
    "blank": ["", " "] * 200,
}


@pytest.mark.parametrize("text", SYMBOLS.values(), ids=SYMBOLS)
def test_symbols_between_spaces_are_detected(text):
    assert is_pretokenized(text)


@pytest.mark.parametrize("text", WORDS.values(), ids=WORDS)
def test_ordinary_text_is_not_pretokenized(text):
    assert not is_pretokenized(text)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cmudict-g2p/valid.ph.gz", True),
        ("cmudict-g2p/valid.gr.gz", True),
        ("multi30k/valid.en.gz", False),
        ("multi30k/valid.de.gz", False),
        ("tanaka-enja/train.ja.gz", False),
        ("scan-simple/valid.cmd.gz", False),
        ("scan-simple/valid.act.gz", False),
        ("geoquery/train.nl.gz", False),
        ("tatoeba-mini-enfr/train.fr.gz", False),
    ],
)
def test_real_text_is_classified(name, expected):
    assert is_pretokenized(golden_lines(name)[:5000]) is expected


@pytest.mark.parametrize(
    ("source", "target", "warned"),
    [
        ("characters", "characters", ["target"]),
        ("characters", "none", []),
        ("none", "characters", ["target"]),
        ("moses", "moses", []),
    ],
)
def test_only_sides_with_the_tokenizer_characters_are_warned_about(
    tmp_path, caplog, source, target, warned
):
    write_lines(tmp_path / "words", WORDS["words"])
    write_lines(tmp_path / "phones", ["", *SYMBOLS["ARPAbet"]])
    pipeline = TextPipeline(
        TextSettings("en", "en", source, False, "nfc", True, target)
    )
    with caplog.at_level(logging.WARNING):
        warn_about_pretokenized_text(
            pipeline, [(tmp_path / "words", tmp_path / "phones")]
        )
    messages = [record.getMessage() for record in caplog.records]
    assert [text.split()[1] for text in messages] == warned
    for text in messages:
        assert "looks tokenized already ('" in text
        assert text.endswith("preprocess.target_tokenizer = none keeps them whole")

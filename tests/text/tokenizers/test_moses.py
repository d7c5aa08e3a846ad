import hashlib
import inspect
import logging
from functools import cache

import pytest
import sacremoses
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.text.tokenizers.moses import (
    REQUIRED_CHARACTERS,
    moses_tokenizer,
    word_tokenizer,
)

HARD = [
    "U.S. troops left the E.U. at 5 p.m. on Mr. Smith's Feb. 3rd, No. 5 ... 'yes.'",
    "Dr. No. 7. end. of. A.B. Nos. 5 Nos. a",
    "l'an 5,300.5, d'où ? c'est «\u202foui\u202f» n'est-ce pas\u00a0?",
    "1,2,a,b, it's ' x . ' ",
    "a.'",
    "...",
    "",
]


def word(alphabet):
    return st.text(alphabet, min_size=1, max_size=8)


LANGUAGES = ["en", "fr", "it", "de", "fi", "ja", "zh"]


@pytest.mark.slow
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("line", HARD)
def test_the_accelerated_tokenizer_agrees_with_sacremoses(language, line):
    expected = plain_tokenizer(language).tokenize(line, escape=False)
    assert moses_tokenizer(language).tokenize(line) == expected


@pytest.mark.parametrize(
    ("language", "line", "tokens"),
    [
        ("en", 'It\'s <5 & "fine".', 'It \'s < 5 & " fine " .'),
        ("en", "well-known", "well-known"),
        ("fr", "l'homme\u00a0: «\u202foui\u202f»", "l' homme : « oui »"),
        ("de", "Das ist z.B. gut.", "Das ist z.B. gut ."),
    ],
)
def test_lines_are_tokenized_as_the_moses_scripts_do(language, line, tokens):
    assert moses_tokenizer(language).tokenize(line) == tokens.split(" ")


@pytest.mark.parametrize(
    ("language", "line"),
    [
        ("en", "It's a well-known fact, isn't it?"),
        ("en", 'He said "no" (twice) & left at 5 p.m.'),
        ("fr", "L'homme qu'il a vu n'est pas là."),
        ("fr", "Est-ce que 3,5 % suffit ?"),
        ("de", "Das kostet 1.000,50 Euro, oder?"),
    ],
)
def test_ordinary_sentences_are_detokenized(language, line):
    moses = moses_tokenizer(language)
    assert moses.detokenize(moses.tokenize(line)) == line


def test_xml_entities_of_the_text_are_kept():
    assert moses_tokenizer("en").detokenize(["an", "&amp;"]) == "an &amp;"


@given(st.lists(word("abcdefgh"), min_size=1).map(" ".join), st.sampled_from(".?!"))
def test_plain_words_are_tokenized_and_detokenized(sentence, mark):
    moses = moses_tokenizer("en")
    assert moses.detokenize(moses.tokenize(sentence + mark)) == sentence + mark


@pytest.mark.parametrize("language", ["fr-CA", "fr_FR", "FR", "french"])
def test_regional_codes_and_names_of_languages_are_accepted(language):
    assert moses_tokenizer(language).tokenize("l'homme") == ["l'", "homme"]


def test_an_unknown_language_is_warned_about_once(caplog):
    with caplog.at_level(logging.WARNING):
        first = moses_tokenizer("xx-one")
        assert moses_tokenizer("xx-one") is first
    assert [r.getMessage() for r in caplog.records] == [
        "Moses has no rules for 'xx-one': using its English ones"
    ]
    assert first.tokenize("it's") == ["it", "'s"]


def test_word_tokenizer_does_not_warn(caplog):
    with caplog.at_level(logging.WARNING):
        assert word_tokenizer("xx-two").tokenize("it's") == ["it", "'s"]
    assert not caplog.records


@pytest.mark.slow
@pytest.mark.parametrize("text", ["don't. a,b ", "..", "'", "x", ",", "a."])
def test_a_very_long_line_is_tokenized(text):
    """Takes seconds, where an algorithm of quadratic cost takes hours."""
    moses = moses_tokenizer("en")
    tokens = moses.tokenize(text * 40_000)
    assert "".join(tokens) == text.replace(" ", "") * 40_000
    assert moses.detokenize(tokens)


WORDS = "Dr. No. U.S. z.B. e.g it's l'an 'tis 5,3 a,b 1.5 ... .. . , ' 5 Été ß n' « 中"
FRAGMENTS = st.sampled_from([*WORDS.split(), "ab", "-", " ", "  "])


@pytest.mark.parametrize("language", LANGUAGES)
@settings(max_examples=60)
@given(line=st.lists(FRAGMENTS, max_size=12).map("".join))
def test_the_accelerated_tokenizer_agrees_on_generated_text(language, line):
    expected = plain_tokenizer(language).tokenize(line, escape=False)
    assert moses_tokenizer(language).tokenize(line) == expected


@cache
def plain_tokenizer(language):
    return sacremoses.MosesTokenizer(language)


# The private attributes of sacremoses that are replaced. When a test below fails with a
# new release, check that the replacements still agree with it.

PATTERNS = {
    "COMMA_SEPARATE_1": ["([^{n}])[,]"],
    "COMMA_SEPARATE_2": ["[,]([^{n}])"],
    "COMMA_SEPARATE_3": ["([{n}])[,]$"],
    "ENGLISH_SPECIFIC_APOSTROPHE": [
        "([^{alpha}])[']([^{alpha}])",
        "([^{alpha}{n}])[']([{alpha}])",
        "([{alpha}])[']([^{alpha}])",
        "([{alpha}])[']([{alpha}])",
        "([{n}])[']([s])",
    ],
    "FR_IT_SPECIFIC_APOSTROPHE": [
        "([^{alpha}])[']([^{alpha}])",
        "([^{alpha}])[']([{alpha}])",
        "([{alpha}])[']([^{alpha}])",
        "([{alpha}])[']([{alpha}])",
    ],
    "NON_SPECIFIC_APOSTROPHE": [r"\'"],
    "TRAILING_DOT_APOSTROPHE": [r"\.' ?$"],
}


@pytest.mark.parametrize("name", REQUIRED_CHARACTERS)
def test_the_guarded_patterns_of_sacremoses_are_unchanged(name):
    moses = sacremoses.MosesTokenizer("en")
    rules = getattr(moses, name)
    rules = rules if isinstance(rules, list) else [rules]
    patterns = [
        pattern.pattern.replace(moses.IsAlpha, "{alpha}").replace(moses.IsN, "{n}")
        for pattern, _ in rules
    ]
    assert patterns == PATTERNS[name]
    assert all(isinstance(replacement, str) for _, replacement in rules)


def test_the_replaced_collections_of_sacremoses_have_the_same_types():
    moses = sacremoses.MosesTokenizer("en")
    assert isinstance(moses.IsAlpha, str)
    assert isinstance(moses.IsLower, str)
    for prefixes in (moses.NONBREAKING_PREFIXES, moses.NUMERIC_ONLY_PREFIXES):
        assert isinstance(prefixes, list)
        assert all(isinstance(prefix, str) for prefix in prefixes)


@pytest.mark.parametrize(
    ("name", "sha256"),
    [
        ("isanyalpha", "8006616e7a1d"),
        ("islower", "0c3cc1532f3b"),
        ("handles_nonbreaking_prefixes", "2d40a048de10"),
    ],
)
def test_the_replaced_methods_of_sacremoses_are_unchanged(name, sha256):
    source = inspect.getsource(getattr(sacremoses.MosesTokenizer, name))
    assert hashlib.sha256(source.encode()).hexdigest().startswith(sha256)

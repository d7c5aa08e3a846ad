import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.text.normalise import is_blank, normalise, split_spaces


@pytest.mark.parametrize(
    ("line", "expected", "num_controls"),
    [
        ("plain", "plain", 0),
        ("a\tb", "a b", 0),
        ("a\x00b", "a b", 1),
        ("a\x0bb\x0cc\rd", "a b c d", 3),
        ("a\u0085b\u2028c\u2029d", "a b c d", 3),
        ("a\x1fb\x7fc\x9fd", "a b c d", 3),
        ("a\ud800b", "a b", 1),
        ("25\u00a0% \u202f!", "25\u00a0% \u202f!", 0),
        ("e\u0301", "\u00e9", 0),
        ("\ufeffa", "\ufeffa", 0),
    ],
)
def test_control_characters_become_spaces(line, expected, num_controls):
    assert normalise(line, "nfc") == (expected, num_controls)


def test_form_none_does_not_compose_characters():
    assert normalise("e\u0301", "none") == ("e\u0301", 0)


@given(st.text())
def test_normalise_is_idempotent(line):
    once, _ = normalise(line, "nfc")
    assert normalise(once, "nfc") == (once, 0)
    assert unicodedata.is_normalized("NFC", once)
    assert len(once.splitlines()) <= 1


@pytest.mark.parametrize("line", ["", "  ", "\t", "\x00\x01", "\u2028", "\u00a0"])
def test_spaces_and_control_characters_are_blank(line):
    assert is_blank(line)


@pytest.mark.parametrize("line", ["a", " . ", "\u200b"])
def test_any_other_character_is_not_blank(line):
    assert not is_blank(line)


def test_split_spaces_splits_at_ascii_spaces_and_tabs_only():
    assert split_spaces(" a\t b\u00a0c  ") == ["a", "b\u00a0c"]

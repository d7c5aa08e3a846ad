"""Formats of translations."""

import json

import pytest

from pipelines.artifacts.translations import (
    FORMATS,
    Output,
    Translation,
    format_tokens,
    nbest_entries,
)

BEST = Output("A, b.", ("A", ",", "b", "."), -1.5, -0.5, (-1.0, -0.5))
SECOND = Output("é", ("é",), -2.0, -1.0, (-2.0,))
TWO = Translation((BEST, SECOND), truncated=True)
BLANK = Translation(())


def test_the_best_output_is_the_translation():
    assert (TWO.text, TWO.tokens) == ("A, b.", ("A", ",", "b", "."))
    assert (BLANK.text, BLANK.tokens) == ("", ())


@pytest.mark.parametrize(
    ("name", "two", "blank"),
    [
        ("text", "A, b.\n", "\n"),
        (
            "nbest",
            "3 ||| A , b . ||| LSTM= -1.5 ||| -0.5\n3 ||| é ||| LSTM= -2.0 ||| -1.0\n",
            "",
        ),
    ],
)
def test_lines_of_a_format(name, two, blank):
    assert FORMATS[name](3, TWO) == two
    assert FORMATS[name](3, BLANK) == blank


def test_tokens_are_separated_by_spaces():
    assert format_tokens(0, TWO) == "A , b .\n"
    assert format_tokens(0, BLANK) == "\n"


def test_json_has_all_outputs_in_one_line():
    line = FORMATS["json"](3, TWO)
    assert line.count("\n") == 1
    assert "é" in line
    content = json.loads(line)
    assert (content["line"], content["text"], content["truncated"]) == (
        4,
        "A, b.",
        True,
    )
    assert content["candidates"][0] == {
        "text": "A, b.",
        "score": -0.5,
        "log_prob": -1.5,
        "tokens": ["A", ",", "b", "."],
        "token_log_probs": [-1.0, -0.5],
    }
    assert json.loads(FORMATS["json"](0, BLANK))["candidates"] == []


def test_entries_carry_the_log_probability_and_the_score():
    entry, _ = nbest_entries(3, TWO)
    assert (entry.sentence, entry.tokens) == (3, BEST.tokens)
    assert entry.features == {"LSTM": (-1.5,)}
    assert entry.score == -0.5

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.artifacts.nbest import (
    NbestEntry,
    format_entry,
    parse_entry,
    read_nbest,
    write_nbest,
)
from pipelines.errors import CorpusError
from tests.golden_data import golden_path

HERE = Path("list")


def written(tmp_path, *lines):
    path = tmp_path / "nbest.txt"
    path.write_bytes("".join(f"{line}\n" for line in lines).encode())
    return path


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        (
            NbestEntry(0, ("le", "chat"), {"LSTM": (-1.2345,)}, -1.2345),
            "0 ||| le chat ||| LSTM= -1.2345 ||| -1.2345",
        ),
        (NbestEntry(7, (), {"LSTM": (-0.0,)}, 0), "7 |||  ||| LSTM= 0.0 ||| 0.0"),
        (
            NbestEntry(1, ("a",), {"d": (0, -7.6), "lm": (-1.25,)}, -9.0, ("0-0",)),
            "1 ||| a ||| d= 0.0 -7.6 lm= -1.25 ||| -9.0 ||| 0-0",
        ),
        (
            NbestEntry(2, ("a|||b", "||"), {"LSTM": (-1,)}, -1 / 3),
            "2 ||| a&#124;&#124;&#124;b || ||| LSTM= -1.0 ||| -0.333333",
        ),
    ],
)
def test_entries_are_written_as_moses_writes_them(entry, line):
    assert format_entry(entry) == line
    assert parse_entry(line, HERE, 1).tokens == entry.tokens


numbers = st.floats(-1e6, 1e6).map(lambda value: round(value, 6))
names = st.from_regex(r"[A-Za-z][A-Za-z0-9]{0,5}", fullmatch=True)
words = st.text(
    st.characters(codec="utf-8", exclude_characters=" \t\n\r"), min_size=1
).filter(lambda word: "&#124;" not in word and not word.isspace())
entries = st.builds(
    NbestEntry,
    st.integers(0, 9),
    st.lists(st.one_of(words, st.just("|||")), max_size=5).map(tuple),
    st.dictionaries(names, st.lists(numbers, max_size=3).map(tuple), max_size=3),
    numbers,
    st.just(()) | st.just(("0-0 1-1",)),
)


@given(entries)
def test_a_written_entry_is_read_back(entry):
    assert parse_entry(format_entry(entry), HERE, 1) == entry


def test_a_file_is_read_sentence_by_sentence(tmp_path):
    found = [
        NbestEntry(0, ("a",), {"LSTM": (-1.0,)}, -0.5),
        NbestEntry(0, ("b",), {"LSTM": (-2.0,)}, -1.0),
        NbestEntry(2, ("c",), {"LSTM": (-3.0,)}, -1.5),
    ]
    text = io.StringIO()
    write_nbest(text, found)
    path = written(tmp_path, *text.getvalue().splitlines())
    assert list(read_nbest(path)) == [(0, found[:2]), (2, found[2:])]


def test_older_features_and_bars_without_spaces_are_read():
    line = "3|||this is||| d: 0 -7.6 lm: -41.3 lm: -40 w: -2|||-14.5"
    assert parse_entry(line, HERE, 1) == NbestEntry(
        3, ("this", "is"), {"d": (0, -7.6), "lm": (-41.3, -40), "w": (-2,)}, -14.5
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "expected id ||| tokens ||| features ||| score, found ''"),
        ("0 ||| a ||| LSTM= -1", "expected id ||| tokens ||| features ||| score"),
        ("x ||| a ||| LSTM= -1 ||| -1", "expected a sentence's id, from 0, found 'x'"),
        ("-1 ||| a ||| LSTM= -1 ||| -1", "expected a sentence's id"),
        ("0 ||| a ||| -1 ||| -1", "a feature's name, such as LSTM=, found '-1'"),
        ("0 ||| a ||| = -1 ||| -1", "a feature's name, found '='"),
        ("0 ||| a ||| LSTM= x ||| -1", "expected a finite number, found 'x'"),
        ("0 ||| a ||| LSTM= -1 ||| nan", "expected a finite number, found 'nan'"),
        ("0 ||| a ||| LSTM= -1 ||| ", "expected a finite number, found ''"),
    ],
)
def test_an_error_names_the_malformed_line(tmp_path, line, message):
    path = written(tmp_path, "0 ||| a ||| LSTM= -1 ||| -1", line)
    with pytest.raises(CorpusError) as found:
        list(read_nbest(path))
    assert found.value.message.startswith(f"{path}:2: ")
    assert message in found.value.message


def test_descending_ids_are_refused(tmp_path):
    path = written(tmp_path, "1 ||| a ||| L= 0 ||| 0", "0 ||| a ||| L= 0 ||| 0")
    with pytest.raises(CorpusError, match=r":2: sentence 0 after sentence 1"):
        list(read_nbest(path))


def test_an_error_names_the_line_that_is_not_utf8(tmp_path):
    path = tmp_path / "nbest.txt"
    path.write_bytes(b"0 ||| \xe9 ||| L= 0 ||| 0\n")
    with pytest.raises(CorpusError, match=r"nbest.txt:1: not UTF-8"):
        list(read_nbest(path))


def test_a_real_list_by_moses_is_read():
    groups = list(read_nbest(golden_path("nbest-europarl/nbest.gz")))
    assert [number for number, _ in groups] == list(range(100))
    assert {len(found) for _, found in groups} == {100}
    first = groups[0][1][0]
    assert " ".join(first.tokens) == "this should also be there is looking further ."
    assert [len(values) for values in first.features.values()] == [7, 2, 5, 1]
    assert first.score == -14.6262

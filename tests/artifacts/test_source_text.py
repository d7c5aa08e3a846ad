"""The text to translate: files read as one text, standard input, pipes."""

import gzip
import io
import os
import sys
from pathlib import Path

import pytest
import zstandard

from pipelines.artifacts.source_text import SourceText
from pipelines.errors import CorpusError, UsageError
from tests.small_corpus import make_pipe


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Texts in the current folder, and two lines on standard input."""
    monkeypatch.chdir(tmp_path)
    stdin = io.TextIOWrapper(io.BytesIO(b"x\ny\n"))
    monkeypatch.setattr(sys, "stdin", stdin)
    (tmp_path / "one").write_text("a b\n\nc")
    (tmp_path / "two").write_bytes(b"\xef\xbb\xbfd\r\ne f\n")
    (tmp_path / "z.gz").write_bytes(gzip.compress(b"g\n"))
    (tmp_path / "z.zst").write_bytes(zstandard.compress(b"h"))
    (tmp_path / "empty").touch()
    return tmp_path


def source_text(*names):
    return SourceText(tuple(map(Path, names)))


ONE, TWO, STDIN = [b"a b", b"", b"c"], [b"d", b"e f"], [b"x", b"y"]
TEXTS = [
    (["one"], ONE),
    (["one", "two"], ONE + TWO),
    (["z.gz", "z.zst"], [b"g", b"h"]),
    (["-"], STDIN),
    (["two", "-", "one"], TWO + STDIN + ONE),
    (["empty"], []),
    (["one", "one"], ONE + ONE),
]


@pytest.mark.parametrize(("names", "lines"), TEXTS, ids=str)
def test_lines_are_counted_as_they_are_read(folder, names, lines):
    source = source_text(*names)
    assert source.count_lines() == len(lines)
    assert [line for chunk in source.chunks(2) for line in chunk] == lines


def test_files_are_read_in_full_chunks_across_their_ends(folder):
    assert list(source_text("one", "two").chunks(2)) == [
        [b"a b", b""],
        [b"c", b"d"],
        [b"e f"],
    ]


@pytest.mark.parametrize("skip", [0, 1, 3, 4, 5, 9])
def test_skipped_lines_are_those_at_the_beginning(folder, skip):
    chunks = source_text("one", "two").chunks(2, skip=skip)
    assert [line for chunk in chunks for line in chunk] == (ONE + TWO)[skip:]


@pytest.mark.parametrize("names", [["pipe"], ["one", "pipe"], ["pipe", "one"]], ids=str)
def test_a_pipe_has_an_unknown_number_of_lines_and_is_read_once(folder, names):
    path = make_pipe(folder / "pipe", b"p\nq\n")
    source = source_text(*names)
    assert not source.is_in_files
    assert source.count_lines() is None
    assert path.exists(), "counting has opened the pipe"
    lines = [line for chunk in source.chunks(100) for line in chunk]
    expected = {"pipe": [b"p", b"q"], "one": ONE}
    assert lines == [line for name in names for line in expected[name]]


def test_standard_input_that_is_a_pipe_has_an_unknown_number_of_lines(
    folder, monkeypatch
):
    read_end, write_end = os.pipe()
    os.write(write_end, b"a\nb\n")
    os.close(write_end)
    with io.TextIOWrapper(io.FileIO(read_end)) as pipe:
        monkeypatch.setattr(sys, "stdin", pipe)
        source = source_text("-")
        assert (source.count_lines(), source.is_typed) == (None, False)
        lines = [line for chunk in source.chunks(9) for line in chunk]
    assert lines == [b"a", b"b"]


def test_standard_input_that_is_a_file_is_counted_from_where_it_is(folder, monkeypatch):
    with Path("two").open() as file:
        os.lseek(file.fileno(), 6, os.SEEK_SET)  # after the BOM and the line d
        monkeypatch.setattr(sys, "stdin", file)
        source = source_text("-")
        assert source.count_lines() == 1
        assert list(source.chunks(9)) == [[b"e f"]]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["one", "z.gz"], True),
        (["-"], False),
        (["one", "-"], False),
        ([os.devnull], False),
    ],
    ids=str,
)
def test_only_named_regular_files_can_be_read_again(folder, names, expected):
    assert source_text(*names).is_in_files is expected


@pytest.mark.parametrize("is_terminal", [True, False])
def test_lines_at_a_terminal_are_typed(folder, monkeypatch, is_terminal):
    monkeypatch.setattr(sys.stdin, "isatty", lambda: is_terminal)
    assert source_text("-", "one").is_typed is is_terminal
    assert not source_text("one").is_typed


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        (["one", "missing"], CorpusError, "missing not found"),
        (["."], CorpusError, r"\. is a folder"),
        (["-", "-"], UsageError, "named twice"),
        (["one", "damaged.gz"], CorpusError, "damaged.gz is damaged"),
        (["hidden"], CorpusError, "hidden is gzip-compressed"),
    ],
    ids=str,
)
def test_unreadable_texts_are_errors_when_counted(folder, names, error, message):
    data = gzip.compress(os.urandom(10_000))
    (folder / "damaged.gz").write_bytes(data[:-100])
    (folder / "hidden").write_bytes(data)
    with pytest.raises(error, match=message):
        source_text(*names).count_lines()


def test_unreadable_files_are_errors_even_beside_a_pipe(folder):
    make_pipe(folder / "pipe", b"")
    with pytest.raises(CorpusError, match="is a folder"):
        source_text("pipe", ".").count_lines()

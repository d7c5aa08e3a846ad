import gzip
import io
import sys
from pathlib import Path

import pytest

from pipelines.artifacts.inputs import (
    STANDARD_INPUT,
    check_inputs,
    decoded_input,
    input_name,
    read_references,
)
from pipelines.errors import CorpusError, UsageError


@pytest.fixture
def standard_input(monkeypatch):
    def give(content):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))

    return give


def test_a_dash_is_standard_input(standard_input):
    standard_input(b"\xef\xbb\xbfa\r\n\xc3\xa9")
    assert list(decoded_input(STANDARD_INPUT)) == ["a", "é"]
    assert input_name(Path("-")) == Path("standard input")


def test_a_bad_line_of_standard_input_is_named(standard_input):
    standard_input(b"a\n\xe9\n")
    with pytest.raises(CorpusError, match=r"^standard input:2: not UTF-8"):
        list(decoded_input(STANDARD_INPUT))


def test_a_closed_standard_input_is_named(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)  # as Python has it after `<&-`
    with pytest.raises(UsageError, match="standard input is closed"):
        list(decoded_input(STANDARD_INPUT))


def test_files_may_be_compressed(tmp_path):
    path = tmp_path / "text.gz"
    path.write_bytes(gzip.compress("é\nb".encode()))
    assert list(decoded_input(path)) == ["é", "b"]
    assert input_name(path) == path


def test_blank_lines_of_later_references_are_none(tmp_path, standard_input):
    path = tmp_path / "ref"
    path.write_bytes(b"a\n\n \n")
    standard_input(path.read_bytes())
    assert read_references([path, STANDARD_INPUT]) == [
        ["a", "", " "],
        ["a", None, None],
    ]
    assert read_references([]) == []


def test_inputs_are_checked_before_any_work(tmp_path):
    (tmp_path / "text").touch()
    check_inputs([tmp_path / "text", STANDARD_INPUT, tmp_path / "text"])
    with pytest.raises(CorpusError, match=r"none not found"):
        check_inputs([tmp_path / "text", tmp_path / "none"])
    with pytest.raises(UsageError, match=r"2 inputs .* standard input"):
        check_inputs([STANDARD_INPUT, tmp_path / "text", STANDARD_INPUT])

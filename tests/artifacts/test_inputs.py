import gzip
import io
import sys
from pathlib import Path

import pytest

from pipelines.artifacts.inputs import (
    STANDARD_STREAM,
    check_inputs,
    decoded_input,
    input_name,
    open_input,
)
from pipelines.errors import CorpusError, UsageError


@pytest.fixture
def standard_input(monkeypatch):
    def give(content):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))

    return give


def test_a_dash_is_standard_input(standard_input):
    standard_input(b"\xef\xbb\xbfa\r\n\xc3\xa9")
    assert list(decoded_input(STANDARD_STREAM)) == ["a", "é"]
    assert input_name(Path("-")) == Path("standard input")


def test_an_error_names_standard_input_and_the_line(standard_input):
    standard_input(b"a\n\xe9\n")
    with pytest.raises(CorpusError, match=r"^standard input:2: not UTF-8"):
        list(decoded_input(STANDARD_STREAM))


def test_a_closed_standard_input_is_refused(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)  # as Python has it after `<&-`
    with pytest.raises(UsageError, match="standard input is closed"):
        list(decoded_input(STANDARD_STREAM))


def test_files_may_be_compressed(tmp_path):
    path = tmp_path / "text.gz"
    path.write_bytes(gzip.compress("é\nb".encode()))
    assert list(decoded_input(path)) == ["é", "b"]
    assert input_name(path) == path


def test_inputs_are_checked_before_any_work(tmp_path):
    (tmp_path / "text").touch()
    check_inputs([tmp_path / "text", STANDARD_STREAM, tmp_path / "text"])
    with pytest.raises(CorpusError, match=r"none not found"):
        check_inputs([tmp_path / "text", tmp_path / "none"])
    with pytest.raises(UsageError, match=r"standard input \(-\) is named twice"):
        check_inputs([STANDARD_STREAM, tmp_path / "text", STANDARD_STREAM])
    with pytest.raises(UsageError, match=r"is named 3 times"):
        check_inputs([STANDARD_STREAM] * 3)


def test_a_closed_standard_input_is_refused_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    (tmp_path / "text").touch()
    check_inputs([tmp_path / "text"])
    with pytest.raises(UsageError, match="standard input is closed"):
        check_inputs([tmp_path / "text", STANDARD_STREAM])


def test_a_dash_and_a_file_are_opened_alike(tmp_path, standard_input):
    path = tmp_path / "text.gz"
    path.write_bytes(gzip.compress(b"a\n"))
    standard_input(b"a\n")
    for name in (path, STANDARD_STREAM):
        with open_input(name) as file:
            assert file.read() == b"a\n"


@pytest.mark.parametrize("named", [True, False])
def test_compressed_bytes_need_the_suffix(tmp_path, standard_input, named):
    path, content = tmp_path / "text", gzip.compress(b"a\n")
    path.write_bytes(content)
    standard_input(content)
    name = str(path) if named else "standard input"
    with pytest.raises(CorpusError, match=f"{name} is gzip-compressed"):
        list(decoded_input(path if named else STANDARD_STREAM))

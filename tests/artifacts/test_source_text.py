"""Several files, or a live stream, read as one text."""

import gzip
import os
import threading

import pytest

from pipelines.artifacts.inputs import STANDARD_STREAM
from pipelines.artifacts.source_text import SourceText
from pipelines.errors import CorpusError


@pytest.fixture
def files(tmp_path):
    (tmp_path / "one").write_bytes(b"\xef\xbb\xbfa\r\nb\n\nc")
    (tmp_path / "two.gz").write_bytes(gzip.compress(b"d\n"))
    return SourceText((tmp_path / "one", tmp_path / "two.gz"))


def test_files_are_one_text(files):
    assert files.is_in_files
    assert files.count_lines() == 5
    assert list(files.chunks(2)) == [[b"a", b"b"], [b"", b"c"], [b"d"]]


def test_lines_at_the_beginning_are_skipped(files):
    assert list(files.chunks(9, skip=3)) == [[b"c", b"d"]]
    assert list(files.chunks(9, skip=5)) == []


def test_a_pipe_has_no_count_and_is_read_as_lines_arrive(tmp_path, files):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    text = SourceText((*files.paths, pipe))
    assert not text.is_in_files
    assert text.count_lines() is None
    writer = threading.Thread(target=pipe.write_bytes, args=(b"e\nf\n",))
    writer.start()
    lines = [line for chunk in text.chunks(2) for line in chunk]
    writer.join()
    assert lines == [b"a", b"b", b"", b"c", b"d", b"e", b"f"]


def test_standard_input_cannot_be_read_again():
    assert not SourceText((STANDARD_STREAM,)).is_in_files


def test_a_missing_file_is_found_by_counting(files):
    files.paths[1].unlink()
    with pytest.raises(CorpusError, match=r"two\.gz"):
        files.count_lines()

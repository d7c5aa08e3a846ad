import io
import os
from threading import Thread

import pytest

from pipelines.artifacts.stream import (
    available_chunks,
    count_lines,
    full_chunks,
    is_regular,
    strip_lines,
)
from pipelines.errors import CorpusError


def test_a_file_is_read_in_full_chunks(tmp_path):
    path = tmp_path / "text"
    path.write_bytes(b"\xef\xbb\xbfa\r\nb\n\nc")
    with path.open("rb") as file:
        assert list(full_chunks(strip_lines(file), 3)) == [[b"a", b"b", b""], [b"c"]]


def test_bytes_in_memory_count_as_a_regular_file():
    assert is_regular(io.BytesIO(b"a\nb\n"))


def test_only_0x0a_ends_a_line():
    odd = "a\u2028b\x85c\x0cd\re".encode()
    assert list(strip_lines(io.BytesIO(odd + b"\n"))) == [odd]


def test_a_chunk_of_a_pipe_is_the_lines_that_have_arrived():
    read_end, write_end = os.pipe()
    with open(read_end, "rb") as reader, open(write_end, "wb", buffering=0) as writer:  # noqa: PTH123
        assert not is_regular(reader)
        chunks = available_chunks(strip_lines(reader), 100)
        writer.write(b"one\n")
        assert next(chunks) == [b"one"]
        writer.write(b"two\nthree\n")
        rest = next(chunks)
        while len(rest) < 2:
            rest += next(chunks)
        assert rest == [b"two", b"three"]
        writer.close()
        assert list(chunks) == []


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_pipe_loses_no_line(size):
    read_end, write_end = os.pipe()
    lines = [str(n).encode() for n in range(500)]

    def write():
        with open(write_end, "wb") as writer:  # noqa: PTH123
            writer.writelines(line + b"\n" for line in lines)

    Thread(target=write).start()
    with open(read_end, "rb") as reader:  # noqa: PTH123
        chunks = list(available_chunks(strip_lines(reader), size))
    assert [line for window in chunks for line in window] == lines
    assert max(map(len, chunks)) <= size


def test_an_error_of_the_reading_thread_is_raised_after_the_lines_before_it():
    def lines():
        yield b"one"
        raise CorpusError("damaged")

    chunks = available_chunks(lines(), 10)
    assert next(chunks) == [b"one"]
    with pytest.raises(CorpusError, match="damaged"):
        next(chunks)


@pytest.mark.parametrize("data", [b"", b"\n", b"a", b"a\nb", b"a\n\n", b"\r\n\x85\x0c"])
def test_lines_are_counted_as_they_are_read(data):
    assert count_lines(io.BytesIO(data)) == len(list(strip_lines(io.BytesIO(data))))

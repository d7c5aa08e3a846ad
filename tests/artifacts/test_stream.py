import io
import os
from threading import Thread

import pytest

from pipelines.artifacts.stream import (
    count_lines,
    full_windows,
    is_regular,
    strip_lines,
    windows_at_hand,
)
from pipelines.errors import CorpusError


def test_a_file_is_read_in_full_windows(tmp_path):
    path = tmp_path / "text"
    path.write_bytes(b"\xef\xbb\xbfa\r\nb\n\nc")
    with path.open("rb") as file:
        assert list(full_windows(strip_lines(file), 3)) == [[b"a", b"b", b""], [b"c"]]


def test_bytes_in_memory_are_like_a_file(tmp_path):
    assert is_regular(io.BytesIO(b"a\nb\n"))


def test_only_0x0a_ends_a_line():
    odd = "a\u2028b\x85c\x0cd\re".encode()
    assert list(strip_lines(io.BytesIO(odd + b"\n"))) == [odd]


def test_a_pipe_gives_what_is_at_hand():
    read_end, write_end = os.pipe()
    with open(read_end, "rb") as reader, open(write_end, "wb", buffering=0) as writer:  # noqa: PTH123
        assert not is_regular(reader)
        windows = windows_at_hand(strip_lines(reader), 100)
        writer.write(b"one\n")
        assert next(windows) == [b"one"]
        writer.write(b"two\nthree\n")
        rest = next(windows)
        while len(rest) < 2:
            rest += next(windows)
        assert rest == [b"two", b"three"]
        writer.close()
        assert list(windows) == []


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_pipe_loses_no_line(size):
    read_end, write_end = os.pipe()
    lines = [str(n).encode() for n in range(500)]

    def write():
        with open(write_end, "wb") as writer:  # noqa: PTH123
            writer.writelines(line + b"\n" for line in lines)

    Thread(target=write).start()
    with open(read_end, "rb") as reader:  # noqa: PTH123
        windows = list(windows_at_hand(strip_lines(reader), size))
    assert [line for window in windows for line in window] == lines
    assert max(map(len, windows)) <= size


def test_an_error_of_the_reading_thread_comes_after_the_lines_before_it():
    def lines():
        yield b"one"
        raise CorpusError("damaged")

    windows = windows_at_hand(lines(), 10)
    assert next(windows) == [b"one"]
    with pytest.raises(CorpusError, match="damaged"):
        next(windows)


@pytest.mark.parametrize("data", [b"", b"\n", b"a", b"a\nb", b"a\n\n", b"\r\n\x85\x0c"])
def test_lines_are_counted_as_they_are_read(data):
    assert count_lines(io.BytesIO(data)) == len(list(strip_lines(io.BytesIO(data))))

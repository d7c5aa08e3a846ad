import io
import os
from threading import Thread

import pytest

from pipelines.artifacts.stream import line_windows


def test_a_file_is_read_in_full_windows(tmp_path):
    path = tmp_path / "text"
    path.write_bytes(b"\xef\xbb\xbfa\r\nb\n\nc")
    with path.open("rb") as file:
        assert list(line_windows(file, 3)) == [[b"a", b"b", b""], [b"c"]]


def test_bytes_in_memory_are_like_a_file():
    assert list(line_windows(io.BytesIO(b"a\nb\n"), 9)) == [[b"a", b"b"]]


def test_only_0x0a_ends_a_line():
    odd = "a\u2028b\x85c\x0cd\re".encode()
    assert list(line_windows(io.BytesIO(odd + b"\n"), 9)) == [[odd]]


def test_a_pipe_gives_what_is_at_hand():
    read_end, write_end = os.pipe()
    with open(read_end, "rb") as reader, open(write_end, "wb", buffering=0) as writer:  # noqa: PTH123
        windows = line_windows(reader, 100)
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
        windows = list(line_windows(reader, size))
    assert [line for window in windows for line in window] == lines
    assert max(map(len, windows)) <= size

import io
import random

import pytest
import zstandard

from pipelines.artifacts.zstd import ZstdFile

TEXT = random.Random(1).randbytes(300_000)  # more than two chunks of the reader


def read(data):
    return io.BufferedReader(ZstdFile(io.BytesIO(data))).read()


def test_all_frames_are_read_as_one_text():
    frames = [zstandard.compress(text) for text in (b"a\n", b"", TEXT)]
    assert read(b"".join(frames)) == b"a\n" + TEXT


def test_an_empty_file_and_an_empty_frame_are_empty():
    assert read(b"") == read(zstandard.compress(b"")) == b""


def test_a_small_buffer_gets_the_text_in_order():
    file, buffer = ZstdFile(io.BytesIO(zstandard.compress(b"abcde"))), bytearray(2)
    chunks = []
    while size := file.readinto(memoryview(buffer)):
        chunks.append(bytes(buffer[:size]))
    assert chunks == [b"ab", b"cd", b"e"]


@pytest.mark.parametrize("cut", [1, 4, 9])
def test_a_file_that_ends_inside_a_frame_is_an_error(cut):
    """Where the library's own reader returns a shorter text."""
    data = zstandard.compress(b"a\n") + zstandard.compress(b"b\n" * 99)
    with pytest.raises(EOFError, match="ends inside a Zstandard frame"):
        read(data[:-cut])


@pytest.mark.parametrize("data", [b"text\n", zstandard.compress(b"a\n") + b"text"])
def test_bytes_that_are_no_frame_are_an_error(data):
    with pytest.raises(zstandard.ZstdError):
        read(data)


def test_a_damaged_frame_is_an_error():
    data = bytearray(zstandard.ZstdCompressor(write_checksum=True).compress(TEXT))
    data[-1] ^= 1
    with pytest.raises(zstandard.ZstdError, match="checksum"):
        read(bytes(data))

"""A reader of Zstandard files that reports truncation.

The library's own reader takes a file that ends inside a frame for a shorter text.
"""

import io
from collections.abc import Iterator
from typing import BinaryIO

import zstandard

_CHUNK_BYTES = 1 << 17


class ZstdFile(io.RawIOBase):
    """A binary file over the decompressed bytes of all frames.

    Args:
        raw: The compressed file, open for reading.
    """

    def __init__(self, raw: BinaryIO) -> None:
        super().__init__()
        self._chunks = _decompressed(raw)
        self._chunk = memoryview(b"")

    def readable(self) -> bool:
        """Always true."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override] # a Buffer
        """Copy at most one decompressed chunk into `buffer`; 0 bytes at the end.

        Raises:
            EOFError: The file ends inside a frame.
            zstandard.ZstdError: The file is damaged or not compressed.
        """
        while not self._chunk:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._chunk = memoryview(chunk)
        size = min(len(buffer), len(self._chunk))
        buffer[:size] = self._chunk[:size]
        self._chunk = self._chunk[size:]
        return size


def _decompressed(raw: BinaryIO) -> Iterator[bytes]:
    decompressor = zstandard.ZstdDecompressor()
    frame = None
    unused = b""
    while data := unused or raw.read(_CHUNK_BYTES):
        frame = frame or decompressor.decompressobj()
        yield frame.decompress(data)
        unused = b""
        if frame.eof:
            unused, frame = frame.unused_data, None
    if frame is not None:
        raise EOFError("it ends inside a Zstandard frame")

"""Zstandard files as binary files, and a cut one as an error.

The library's own reader takes a file that ends inside a frame for a shorter text.
"""

import io
from collections.abc import Iterator
from typing import BinaryIO

import zstandard

_CHUNK_BYTES = 1 << 17


class ZstdFile(io.RawIOBase):
    """Decompresses one frame after the other.

    Args:
        raw: The compressed file, open for reading.
    """

    def __init__(self, raw: BinaryIO) -> None:
        super().__init__()
        self._chunks = _decompressed(raw)
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override] # a Buffer
        """Fill a buffer, as far as the next chunk goes.

        Raises:
            EOFError: The file ends inside a frame.
            zstandard.ZstdError: It is damaged or not compressed.
        """
        while not self._ready:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._ready = memoryview(chunk)
        size = min(len(buffer), len(self._ready))
        buffer[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size


def _decompressed(raw: BinaryIO) -> Iterator[bytes]:
    decompressor = zstandard.ZstdDecompressor()
    frame = None
    rest = b""
    while data := rest or raw.read(_CHUNK_BYTES):
        frame = frame or decompressor.decompressobj()
        yield frame.decompress(data)
        rest = b""
        if frame.eof:
            rest, frame = frame.unused_data, None
    if frame is not None:
        raise EOFError("it ends inside a Zstandard frame")

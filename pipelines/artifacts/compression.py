"""Compressed text: which kind bytes are, and outputs that are written compressed.

An output ends a frame (gzip: a member) wherever it is flushed, so that what is on disk
then can be read and written on. Readers take frames one after the other as one text.
"""

import io
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, TextIO, cast

import zstandard

from pipelines.errors import CorpusError

_GZIP_WINDOW_BITS = 16 + zlib.MAX_WBITS
"""What zlib wants to hear for gzip's header and trailer."""


@dataclass(frozen=True, slots=True)
class _Format:
    name: str
    magic: bytes
    """First bytes; none of them ends a line."""
    suffix: str
    cat: str
    """The command that prints what such a file holds."""
    readable: bool
    """Whether a file with this suffix is decompressed when it is read."""


_FORMATS = (
    _Format("gzip", b"\x1f\x8b\x08", ".gz", "zcat", readable=True),
    _Format("Zstandard", b"\x28\xb5\x2f\xfd", ".zst", "zstdcat", readable=True),
    _Format("xz", b"\xfd7zXZ\x00", ".xz", "xzcat", readable=False),
    *(
        _Format("bzip2", b"BZh%d1AY&SY" % level, ".bz2", "bzcat", readable=False)
        for level in range(1, 10)
    ),
)


def refuse_compressed(first_line: bytes, path: Path | None) -> None:
    """Refuse to take compressed bytes for text.

    Args:
        first_line: Of the text.
        path: Of the file; None is standard input.

    Raises:
        CorpusError: The line begins as a gzip, Zstandard, xz or bzip2 file does.
    """
    for kind in _FORMATS:
        if not first_line.startswith(kind.magic):
            continue
        if path is None:
            other = f"name the file (-i x{kind.suffix})"
            decompress = f"{kind.cat} x{kind.suffix} | s2s ..."
        else:
            other = f"name it {path.name}{kind.suffix}"
            decompress = f"{kind.cat} < {path} > FILE"
        hint = f"decompress it: {decompress}"
        if kind.readable:
            hint = f"{other}, or {hint}"
        where = path or "standard input"
        raise CorpusError(f"{where} is {kind.name}-compressed, not text", hint=hint)


class _Frame(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


_NEW_FRAME: dict[str, Callable[[], _Frame]] = {
    ".gz": lambda: zlib.compressobj(wbits=_GZIP_WINDOW_BITS),
    ".zst": lambda: zstandard.ZstdCompressor(write_checksum=True).compressobj(),
}


class _CompressedFile(io.RawIOBase):
    """Compresses what is written; `flush` ends a frame. An empty file gets one, too."""

    def __init__(self, raw: BinaryIO, new_frame: Callable[[], _Frame]) -> None:
        super().__init__()
        self._raw, self._new_frame = raw, new_frame
        is_empty = os.fstat(raw.fileno()).st_size == 0
        self._frame = new_frame() if is_empty else None

    def writable(self) -> bool:
        """It is."""
        return True

    def fileno(self) -> int:
        """The descriptor of the compressed file."""
        return self._raw.fileno()

    def write(self, data: bytes) -> int:  # type: ignore[override] # a Buffer
        """Compress bytes."""
        self._frame = self._frame or self._new_frame()
        self._raw.write(self._frame.compress(data))
        return len(data)

    def flush(self) -> None:
        """End the frame and hand all of it to the system."""
        if self._frame is not None:
            self._raw.write(self._frame.flush())
            self._frame = None
        self._raw.flush()


def text_writer(raw: BinaryIO, path: Path) -> TextIO:
    """UTF-8 text into an open file, compressed where `path` ends in .gz or .zst.

    Args:
        raw: Open for writing, at its end.
        path: The name that the file has or will have.
    """
    new_frame = _NEW_FRAME.get(path.suffix)
    file = cast(BinaryIO, _CompressedFile(raw, new_frame)) if new_frame else raw
    return io.TextIOWrapper(file, encoding="utf-8", newline="\n")

"""Compressed text: recognising it by its first bytes, and writing it.

Each flush ends a frame (gzip: a member), so that the file on disk can then be read and
appended to. Readers take consecutive frames as one text.
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
"""zlib's notation for gzip's header and trailer."""


@dataclass(frozen=True, slots=True)
class _Format:
    name: str
    magic: bytes
    """First bytes; no line feed among them."""
    suffix: str
    cat: str
    """The command that decompresses such a file."""
    readable: bool
    """Whether s2s decompresses files with this suffix."""


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
    """Refuse compressed bytes where text is expected.

    Args:
        first_line: The first line that was read.
        path: The file; None is standard input.

    Raises:
        CorpusError: The line begins like a gzip, Zstandard, xz or bzip2 file.
    """
    for known in _FORMATS:
        if not first_line.startswith(known.magic):
            continue
        if path is None:
            rename = f"name the file (-i x{known.suffix})"
            decompress = f"{known.cat} x{known.suffix} | s2s ..."
        else:
            rename = f"name it {path.name}{known.suffix}"
            decompress = f"{known.cat} < {path} > FILE"
        hint = f"decompress it: {decompress}"
        if known.readable:
            hint = f"{rename}, or {hint}"
        name = path or "standard input"
        raise CorpusError(f"{name} is {known.name}-compressed, not text", hint=hint)


class _Frame(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


_NEW_FRAME: dict[str, Callable[[], _Frame]] = {
    ".gz": lambda: zlib.compressobj(wbits=_GZIP_WINDOW_BITS),
    ".zst": lambda: zstandard.ZstdCompressor(write_checksum=True).compressobj(),
}


class _CompressedFile(io.RawIOBase):
    """Compresses what is written; `flush` ends a frame; an empty text is one frame."""

    def __init__(self, raw: BinaryIO, new_frame: Callable[[], _Frame]) -> None:
        super().__init__()
        self._raw, self._new_frame = raw, new_frame
        is_empty = os.fstat(raw.fileno()).st_size == 0
        self._frame = new_frame() if is_empty else None

    def writable(self) -> bool:
        """Always true."""
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
        """End the frame and flush the compressed file."""
        if self._frame is not None:
            self._raw.write(self._frame.flush())
            self._frame = None
        self._raw.flush()


def text_writer(raw: BinaryIO, path: Path) -> TextIO:
    """Wrap a binary file for UTF-8 text, compressed where `path` is `.gz` or `.zst`.

    Args:
        raw: Open for writing, at its end.
        path: The file's name, or its name once it is complete.
    """
    new_frame = _NEW_FRAME.get(path.suffix)
    file = cast(BinaryIO, _CompressedFile(raw, new_frame)) if new_frame else raw
    return io.TextIOWrapper(file, encoding="utf-8", newline="\n")

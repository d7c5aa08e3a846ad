"""Lines of a file or of a live stream, in chunks.

A file is read in full chunks. A pipe or a terminal is read by a thread, and a chunk is
whatever has arrived, so that the first line of a conversation is answered before the
second is written.
"""

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import BinaryIO

from pipelines.artifacts.compression import refuse_compressed
from pipelines.errors import S2SError

_BOM = b"\xef\xbb\xbf"
_BLOCK_BYTES = 1 << 20
_SIGNAL_CHECK_S = 0.2
"""Interval at which a wait for the next line lets signal handlers run."""


@dataclass(frozen=True, slots=True)
class _End:
    """The last item of the queue: the reading thread has ended."""

    error: Exception | None


def full_chunks(lines: Iterable[bytes], size: int) -> Iterator[list[bytes]]:
    """Yield chunks of `size` lines; the last may be smaller."""
    rest = iter(lines)
    while chunk := list(islice(rest, size)):
        yield chunk


def available_chunks(lines: Iterable[bytes], size: int) -> Iterator[list[bytes]]:
    """Yield chunks of the lines that have arrived, at least one and at most `size`.

    A daemon thread reads `lines`. It may still be reading when the interpreter ends, so
    the lines must not come from a file that Python closes then, such as `sys.stdin`.
    """
    queue: Queue[bytes | _End] = Queue(maxsize=4 * size)

    def read() -> None:
        error: Exception | None = None
        try:
            for line in lines:
                queue.put(line)
        except (OSError, ValueError, S2SError) as caught:
            error = caught
        queue.put(_End(error))

    Thread(target=read, daemon=True).start()
    while True:
        chunk, end = _take(queue, size)
        if chunk:
            yield chunk
        if end is not None:
            if end.error is not None:
                raise end.error
            return


def _take(queue: "Queue[bytes | _End]", size: int) -> tuple[list[bytes], _End | None]:
    """Wait for one line, then take further lines that have arrived."""
    chunk: list[bytes] = []
    item = _wait(queue)
    while isinstance(item, bytes):
        chunk.append(item)
        if len(chunk) == size:
            return chunk, None
        try:
            item = queue.get_nowait()
        except Empty:
            return chunk, None
    return chunk, item


def _wait(queue: "Queue[bytes | _End]") -> bytes | _End:
    """Wait for an item, in intervals.

    A signal that arrives just before a wait does not end it; its handler runs at the
    end of the interval.
    """
    while True:
        try:
            return queue.get(timeout=_SIGNAL_CHECK_S)
        except Empty:
            continue


def strip_lines(file: Iterable[bytes]) -> Iterator[bytes]:
    """Yield lines without their end (LF or CR LF), the first without a BOM.

    Raises:
        CorpusError: The file is compressed.
    """
    for number, line in enumerate(file):
        raw = line.removesuffix(b"\n").removesuffix(b"\r")
        if number == 0:
            refuse_compressed(raw, _path_of(file))
            raw = raw.removeprefix(_BOM)
        yield raw


def count_lines(file: BinaryIO) -> int:
    """Count the lines that `strip_lines` would yield from the current offset.

    Raises:
        CorpusError: The file is compressed.
    """
    first = file.readline()
    refuse_compressed(first, _path_of(file))
    num_lines, last = int(bool(first)), b"\n"
    while block := file.read(_BLOCK_BYTES):
        num_lines += block.count(b"\n")
        last = block[-1:]
    return num_lines + (last != b"\n")


def is_regular(file: BinaryIO) -> bool:
    """Whether a file is complete: neither a pipe nor a terminal."""
    try:
        return stat.S_ISREG(os.fstat(file.fileno()).st_mode)
    except (OSError, ValueError):
        return True  # bytes in memory


def _path_of(file: Iterable[bytes]) -> Path | None:
    name = getattr(file, "name", None)
    return Path(name) if isinstance(name, str) and name != "<stdin>" else None

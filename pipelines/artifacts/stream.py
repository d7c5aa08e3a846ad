"""Lines of a file or of a live stream, in windows.

A file is read in full windows. A pipe or a terminal is read by a thread, and a window
is whatever has come: the first line of a conversation is answered before the second.
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
_CHUNK_BYTES = 1 << 20
_LOOK_EVERY_S = 0.2
"""How often a wait for the next line looks for signals."""


@dataclass(frozen=True, slots=True)
class _End:
    """What the reading thread puts last."""

    error: Exception | None


def full_windows(lines: Iterable[bytes], size: int) -> Iterator[list[bytes]]:
    """Yield windows of `size` lines; the last may be smaller."""
    rest = iter(lines)
    while window := list(islice(rest, size)):
        yield window


def windows_at_hand(lines: Iterable[bytes], size: int) -> Iterator[list[bytes]]:
    """Yield windows of the lines that have come, at least one and at most `size`.

    A thread reads `lines`. The interpreter ends without it, so the lines must not come
    from a file that Python closes at its end, which `sys.stdin` is.
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
        window, end = _take(queue, size)
        if window:
            yield window
        if end is not None:
            if end.error is not None:
                raise end.error
            return


def _take(queue: "Queue[bytes | _End]", size: int) -> tuple[list[bytes], _End | None]:
    """Wait for one line, then take what else is there."""
    window: list[bytes] = []
    item = _wait(queue)
    while isinstance(item, bytes):
        window.append(item)
        if len(window) == size:
            return window, None
        try:
            item = queue.get_nowait()
        except Empty:
            return window, None
    return window, item


def _wait(queue: "Queue[bytes | _End]") -> bytes | _End:
    """Wait for an item, and now and then for signals.

    One that comes just before the wait begins does not end it.
    """
    while True:
        try:
            return queue.get(timeout=_LOOK_EVERY_S)
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
    """The lines that `strip_lines` would yield from here on.

    Raises:
        CorpusError: The file is compressed.
    """
    first = file.readline()
    refuse_compressed(first, _path_of(file))
    num_lines, last = int(bool(first)), b"\n"
    while chunk := file.read(_CHUNK_BYTES):
        num_lines += chunk.count(b"\n")
        last = chunk[-1:]
    return num_lines + (last != b"\n")


def is_regular(file: BinaryIO) -> bool:
    """Whether all of a file is there: it is neither a pipe nor a terminal."""
    try:
        return stat.S_ISREG(os.fstat(file.fileno()).st_mode)
    except (OSError, ValueError):
        return True  # bytes in memory


def _path_of(file: Iterable[bytes]) -> Path | None:
    name = getattr(file, "name", None)
    return Path(name) if isinstance(name, str) and name != "<stdin>" else None

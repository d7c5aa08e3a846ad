"""Lines from a live stream, in windows of what is at hand.

A file is read in full windows. A pipe or a terminal is read by a thread, and a window
is whatever has come: the first line of a conversation is answered before the second.
"""

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from queue import Empty, Queue
from threading import Thread
from typing import BinaryIO

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class _End:
    """What the reading thread puts last."""

    error: Exception | None


def line_windows(file: BinaryIO, size: int, *, skip: int = 0) -> Iterator[list[bytes]]:
    """Yield windows of at most `size` lines, without LF or CR LF.

    Args:
        file: Standard input or an opened file.
        size: Most lines of a window.
        skip: Lines to leave out first.
    """
    lines = islice(strip_lines(file), skip, None)
    if _is_regular(file):
        while window := list(islice(lines, size)):
            yield window
        return
    yield from _windows_at_hand(lines, size)


def _windows_at_hand(lines: Iterator[bytes], size: int) -> Iterator[list[bytes]]:
    queue: Queue[bytes | _End] = Queue(maxsize=4 * size)

    def read() -> None:
        error: Exception | None = None
        try:
            for line in lines:
                queue.put(line)
        except (OSError, ValueError) as found:
            error = found
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
    item = queue.get()
    while isinstance(item, bytes):
        window.append(item)
        if len(window) == size:
            return window, None
        try:
            item = queue.get_nowait()
        except Empty:
            return window, None
    return window, item


def strip_lines(file: Iterable[bytes]) -> Iterator[bytes]:
    """Yield lines without their end (LF or CR LF), the first without a BOM."""
    for number, line in enumerate(file):
        raw = line.removesuffix(b"\n").removesuffix(b"\r")
        yield raw.removeprefix(_BOM) if number == 0 else raw


def _is_regular(file: BinaryIO) -> bool:
    try:
        return stat.S_ISREG(os.fstat(file.fileno()).st_mode)
    except (OSError, ValueError):
        return True  # bytes in memory

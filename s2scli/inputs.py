"""The text that a command reads: files one after the other, or standard input."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import UnsupportedOperation
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from pipelines.errors import CorpusError, UsageError
from s2scli.output import STANDARD_STREAM


@dataclass(frozen=True, slots=True)
class Inputs:
    """Files to read as one text; `-` is standard input."""

    paths: tuple[Path, ...]

    @property
    def are_files(self) -> bool:
        """Whether all are named regular files, which can be read again."""
        return STANDARD_STREAM not in self.paths and not any(map(_is_live, self.paths))

    @property
    def are_typed(self) -> bool:
        """Whether lines are typed at a terminal."""
        return STANDARD_STREAM in self.paths and sys.stdin.isatty()

    def count_lines(self) -> int | None:
        """The number of lines; None where a pipe or a terminal is among the inputs.

        Reading a file once costs little beside its translation, and a file that is
        missing or damaged is found before a model is loaded.

        Raises:
            CorpusError: A file is missing, a folder, unreadable or damaged, or is
                compressed and its name does not say so.
            UsageError: Standard input is closed or named twice.
        """
        from pipelines.artifacts.stream import count_lines

        if self.paths.count(STANDARD_STREAM) > 1:
            raise UsageError("standard input (-) is named twice; it can be read once")
        total: int | None = 0
        for path in self.paths:
            if _is_live(path):
                total = None
                continue
            with _open(path) as file:
                start = file.tell() if path == STANDARD_STREAM else 0
                num_lines = count_lines(file)
                if path == STANDARD_STREAM:
                    file.seek(start)
            total = None if total is None else total + num_lines
        return total

    def windows(self, size: int, *, skip: int = 0) -> Iterator[list[bytes]]:
        """Yield windows of at most `size` lines, without LF or CR LF.

        Args:
            size: Most lines of a window.
            skip: Lines to leave out first.
        """
        from pipelines.artifacts.stream import full_windows, windows_at_hand

        lines = islice(self._lines(), skip, None)
        if any(map(_is_live, self.paths)):
            return windows_at_hand(lines, size)
        return full_windows(lines, size)

    def _lines(self) -> Iterator[bytes]:
        from pipelines.artifacts.stream import strip_lines

        for path in self.paths:
            with _open(path) as file:
                yield from strip_lines(file)


@contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    from pipelines.artifacts.corpus import open_text

    if path == STANDARD_STREAM:
        yield standard_input()
        return
    if not path.exists():
        raise CorpusError(f"{path} not found")
    with open_text(path) as file:
        yield file


def standard_input() -> BinaryIO:
    """Standard input as a binary file of its own.

    Python closes `sys.stdin` when it ends, and aborts if a thread is reading from it.

    Raises:
        UsageError: Standard input is closed.
    """
    if sys.stdin is None:
        raise UsageError(
            "standard input is closed", hint="name the files to read, or pipe text in"
        )
    try:
        return open(sys.stdin.fileno(), "rb", closefd=False)
    except UnsupportedOperation:
        return sys.stdin.buffer  # bytes in memory


def _is_live(path: Path) -> bool:
    """Whether it is a pipe, a terminal or another device, whose end is not known."""
    from pipelines.artifacts.stream import is_regular

    if path == STANDARD_STREAM:
        return not is_regular(standard_input())
    return path.exists() and not (path.is_file() or path.is_dir())

"""The text to translate: files one after the other as one text, or a live stream."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from pipelines.artifacts.inputs import (
    STANDARD_STREAM,
    check_inputs,
    input_lines,
    open_input,
    standard_input,
)
from pipelines.artifacts.stream import (
    count_lines,
    full_windows,
    is_regular,
    windows_at_hand,
)


@dataclass(frozen=True, slots=True)
class SourceText:
    """Files to read as one text; `-` is standard input."""

    paths: tuple[Path, ...]

    @property
    def is_in_files(self) -> bool:
        """Whether all are named regular files, which can be read again."""
        return STANDARD_STREAM not in self.paths and not any(map(_is_live, self.paths))

    @property
    def is_typed(self) -> bool:
        """Whether lines are typed at a terminal."""
        return STANDARD_STREAM in self.paths and sys.stdin.isatty()

    def count_lines(self) -> int | None:
        """The number of lines; None where a pipe or a terminal is among the files.

        Reading a file once costs little beside its translation, and a file that is
        missing or damaged is found before a model is loaded.

        Raises:
            CorpusError: A file is missing, a folder, unreadable or damaged, or is
                compressed and its name does not say so.
            UsageError: Standard input is closed or named twice.
        """
        check_inputs(self.paths)
        total: int | None = 0
        for path in self.paths:
            if _is_live(path):
                total = None
                continue
            with open_input(path) as file:
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
        lines = islice(chain.from_iterable(map(input_lines, self.paths)), skip, None)
        if any(map(_is_live, self.paths)):
            return windows_at_hand(lines, size)
        return full_windows(lines, size)


def _is_live(path: Path) -> bool:
    """Whether it is a pipe, a terminal or another device, whose end is not known."""
    if path == STANDARD_STREAM:
        return not is_regular(standard_input())
    return path.exists() and not (path.is_file() or path.is_dir())

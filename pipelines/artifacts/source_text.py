"""The text to translate: several files read as one text, or a live stream."""

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
    available_chunks,
    count_lines,
    full_chunks,
    is_regular,
)


@dataclass(frozen=True, slots=True)
class SourceText:
    """Files to read as one text; `-` is standard input."""

    paths: tuple[Path, ...]

    @property
    def is_in_files(self) -> bool:
        """Whether all are named regular files, so that the text can be read again."""
        return STANDARD_STREAM not in self.paths and not any(map(_is_live, self.paths))

    @property
    def is_typed(self) -> bool:
        """Whether lines are typed at a terminal."""
        return STANDARD_STREAM in self.paths and sys.stdin.isatty()

    def count_lines(self) -> int | None:
        """Count the lines; None if a pipe or a terminal is among the files.

        Reading a file costs little compared to its translation, and a missing or
        damaged file is reported before a model is loaded.

        Raises:
            CorpusError: A file is missing, a folder, unreadable or damaged, or is
                compressed and its name does not say so.
            UsageError: Standard input is closed or named twice.
        """
        check_inputs(self.paths)
        counts = [_count_lines(path) for path in self.paths if not _is_live(path)]
        return sum(counts) if len(counts) == len(self.paths) else None

    def chunks(self, size: int, *, skip: int = 0) -> Iterator[list[bytes]]:
        """Yield chunks of at most `size` lines, without LF or CR LF.

        Args:
            size: Most lines of a chunk.
            skip: Number of lines to leave out at the beginning.
        """
        lines = islice(chain.from_iterable(map(input_lines, self.paths)), skip, None)
        if any(map(_is_live, self.paths)):
            return available_chunks(lines, size)
        return full_chunks(lines, size)


def _count_lines(path: Path) -> int:
    """Count the lines of a file; standard input can be read again afterwards."""
    with open_input(path) as file:
        if path != STANDARD_STREAM:
            return count_lines(file)
        start = file.tell()
        num_lines = count_lines(file)
        file.seek(start)
        return num_lines


def _is_live(path: Path) -> bool:
    """Whether a path is a pipe, a terminal or another device, whose end is unknown."""
    if path == STANDARD_STREAM:
        return not is_regular(standard_input())
    return path.exists() and not (path.is_file() or path.is_dir())

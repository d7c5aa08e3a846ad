"""`dropped.tsv`: one line for every pair that preprocessing dropped."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

_HEADER = "split\tpart\tline\treason\n"


@dataclass(frozen=True, slots=True)
class DroppedPairsWriter:
    """An open `dropped.tsv`."""

    _file: TextIO

    def write(self, split: str, part: int, drops: Iterable[tuple[int, str]]) -> None:
        """Write the dropped pairs of one part.

        Args:
            split: Name of the split.
            part: Index of the part.
            drops: Line number in the user's file, from 1, and reason.
        """
        self._file.writelines(
            f"{split}\t{part:05d}\t{line}\t{reason}\n" for line, reason in drops
        )


@contextmanager
def dropped_pairs_writer(path: Path) -> Iterator[DroppedPairsWriter]:
    """Create the file, with its header."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(_HEADER)
        yield DroppedPairsWriter(file)

"""Files that a command names: plain, `.gz` or `.zst`, or `-` for standard input.

Owns what a reference file means: line n is a reference of line n, and an empty line of
a second or later file is no further reference.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipelines.artifacts.corpus import decode_line, read_lines
from pipelines.artifacts.stream import strip_lines
from pipelines.errors import CorpusError, UsageError

STANDARD_INPUT = Path("-")


def input_name(path: Path) -> Path:
    """What a message calls the file."""
    return Path("standard input") if path == STANDARD_INPUT else path


def check_inputs(paths: Sequence[Path]) -> None:
    """Find out before any work that a file is missing, or standard input named twice.

    Raises:
        CorpusError: A file is missing.
        UsageError: Standard input would have to be read twice.
    """
    count = [*paths].count(STANDARD_INPUT)
    if count > 1:
        raise UsageError(
            f"{count} inputs are to be read from standard input, which holds one",
            hint="name a file for every input but one",
        )
    for path in paths:
        if path != STANDARD_INPUT and not path.exists():
            raise CorpusError(f"{path} not found", hint="check the path")


def input_lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file or of standard input, without their ends.

    Raises:
        CorpusError: The file cannot be read.
        UsageError: Standard input is closed.
    """
    if path != STANDARD_INPUT:
        return read_lines(path)
    if sys.stdin is None:
        raise UsageError("standard input is closed", hint="name a file instead")
    return strip_lines(sys.stdin.buffer)


def decoded_input(path: Path) -> Iterator[str]:
    """Yield the lines of a file or of standard input as text.

    Raises:
        CorpusError: The file cannot be read, or a line is not UTF-8.
    """
    name = input_name(path)
    for number, raw in enumerate(input_lines(path), start=1):
        yield decode_line(raw, name, number)


def read_references(paths: Sequence[Path]) -> list[list[str | None]]:
    """Read one reference, or several alternatives.

    Returns:
        The lines of each file; None where a second or later file has a blank line,
        which is no further reference.

    Raises:
        CorpusError: A file cannot be read, or a line is not UTF-8.
    """
    found: list[list[str | None]] = []
    for path in paths:
        lines = decoded_input(path)
        found.append([line if line.strip() or not found else None for line in lines])
    return found

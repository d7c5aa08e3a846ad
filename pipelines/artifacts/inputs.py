"""Files that a command names: plain, `.gz` or `.zst`, or `-` for standard input.

Owns how they are opened, what messages call them, and the check before any work starts.
Does not know what is in their lines.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import UnsupportedOperation
from pathlib import Path
from typing import BinaryIO

from pipelines.artifacts.corpus import decode_line, open_text
from pipelines.artifacts.stream import strip_lines
from pipelines.errors import CorpusError, UsageError

STANDARD_STREAM = Path("-")
"""Standard input where a file is read, standard output where one is written."""


def input_name(path: Path) -> Path:
    """What a message calls the file."""
    return Path("standard input") if path == STANDARD_STREAM else path


def check_inputs(paths: Sequence[Path]) -> None:
    """Find out before any work that an input cannot be read.

    Raises:
        CorpusError: A file is missing.
        UsageError: Standard input is closed, or would have to be read twice.
    """
    count = [*paths].count(STANDARD_STREAM)
    if count > 1:
        times = "twice" if count == 2 else f"{count} times"
        raise UsageError(
            f"standard input (-) is named {times}; it can be read once",
            hint="name a file for every input but one",
        )
    if count:
        standard_input()
    for path in paths:
        if path != STANDARD_STREAM and not path.exists():
            raise CorpusError(f"{path} not found", hint="check the path")


@contextmanager
def open_input(path: Path) -> Iterator[BinaryIO]:
    """Open a file or standard input for reading bytes.

    Raises:
        CorpusError: The file is missing, a folder, unreadable or damaged.
        UsageError: Standard input is closed.
    """
    if path == STANDARD_STREAM:
        yield standard_input()
        return
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
            "standard input is closed", hint="name a file to read, or pipe text in"
        )
    try:
        return open(sys.stdin.fileno(), "rb", closefd=False)
    except UnsupportedOperation:
        return sys.stdin.buffer  # bytes in memory


def input_lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file or of standard input, without their ends.

    Raises:
        CorpusError: The file cannot be read, or is compressed and its name does not
            say so.
        UsageError: Standard input is closed.
    """
    with open_input(path) as file:
        yield from strip_lines(file)


def decoded_input(path: Path) -> Iterator[str]:
    """Yield the lines of a file or of standard input as text.

    Raises:
        CorpusError: The file cannot be read, or a line is not UTF-8.
    """
    name = input_name(path)
    for number, raw in enumerate(input_lines(path), start=1):
        yield decode_line(raw, name, number)

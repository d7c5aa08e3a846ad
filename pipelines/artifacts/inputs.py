"""Input files that a command names: plain, `.gz` or `.zst`, or `-` for standard input.

Owns opening them, their names in messages, and the check before any work starts. Does
not know the content of their lines.
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
    """The file's name in messages."""
    return Path("standard input") if path == STANDARD_STREAM else path


def check_inputs(paths: Sequence[Path]) -> None:
    """Check before any work that all inputs can be read.

    Raises:
        CorpusError: A file is missing.
        UsageError: Standard input is closed, or would have to be read twice.
    """
    num_streams = [*paths].count(STANDARD_STREAM)
    if num_streams > 1:
        times = "twice" if num_streams == 2 else f"{num_streams} times"
        raise UsageError(
            f"standard input (-) is named {times}; it can be read once",
            hint="name a file for every input but one",
        )
    if num_streams:
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
    """Open standard input a second time, as a binary file.

    Python closes `sys.stdin` at exit, and aborts if a thread is reading from it then.

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
        return sys.stdin.buffer  # in a test: bytes in memory, without a descriptor


def input_lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file or of standard input, without line ends.

    Raises:
        CorpusError: The file cannot be read, or is compressed without the suffix.
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

"""Where a command's data goes."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


@contextmanager
def standard_output() -> Iterator[TextIO]:
    """Standard output as UTF-8, lines ending in LF."""
    sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr] # a real file
    yield sys.stdout


@contextmanager
def complete_file(path: Path) -> Iterator[TextIO]:
    """A file that appears when it is complete."""
    temporary = path.with_name(f"{path.name}.tmp-{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8", newline="\n") as file:
            yield file
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)

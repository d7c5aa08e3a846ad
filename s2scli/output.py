"""Where a command writes its data."""

import os
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TextIO

from pipelines.errors import UsageError

STANDARD_STREAM = Path("-")
"""Standard input where a file is read, standard output where one is written."""


@contextmanager
def open_output(path: Path | None) -> Iterator[TextIO]:
    """Standard output as UTF-8, or a file that appears when it is complete.

    A device or a pipe is written as it is.
    """
    if path is None:
        sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr] # a real file
        yield sys.stdout
        return
    if path.exists() and not path.is_file():
        with path.open("w", encoding="utf-8", newline="\n") as file:
            yield file
        return
    temporary = path.with_name(f"{path.name}.tmp-{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8", newline="\n") as file:
            yield file
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def refuse_same_file(
    outputs: Iterable[Path | None], inputs: Iterable[Path | None]
) -> None:
    """Refuse an output that is also an input, or that is named twice.

    Symbolic and hard links count as the file they lead to. Terminals, pipes and devices
    may be read and written.

    Args:
        outputs: Files to write; `-` is standard output, None is left out.
        inputs: Files to read; `-` is standard input, None is left out.

    Raises:
        UsageError: Two of them are the same file.
    """
    names: dict[object, str] = {}
    for path in inputs:
        if path is not None and (identity := _identity(path, sys.stdin)):
            names.setdefault(identity, _name(path, "input"))
    for path in outputs:
        if path is None or not (identity := _identity(path, sys.stdout)):
            continue
        name = _name(path, "output")
        if identity in names:
            raise UsageError(
                f"{name} and {names[identity]} are the same file",
                hint="name another file for the output",
            )
        names[identity] = name


def _identity(path: Path, standard_stream: IO[str] | None) -> object:
    """What two names of one regular file share; None for any other kind of file."""
    try:
        if path == STANDARD_STREAM:
            status = os.fstat(standard_stream.fileno()) if standard_stream else None
        else:
            status = path.stat()
    except FileNotFoundError:
        return path.resolve()
    except (OSError, ValueError):  # bytes in memory, a loop of links
        return None
    if status is None or not stat.S_ISREG(status.st_mode):
        return None
    return status.st_dev, status.st_ino


def _name(path: Path, role: str) -> str:
    return f"standard {role}" if path == STANDARD_STREAM else f"{role} {path}"

"""Output files of a command: opening them, and refusing to overwrite an input."""

import os
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TextIO

from pipelines.artifacts.inputs import STANDARD_STREAM
from pipelines.errors import UsageError
from s2scli.signals import hint_if_stopped

_STREAMS = ("/dev/std", "/dev/fd/", "/proc/")
"""Names of open streams, which cannot be replaced by a file of that name."""
_NOT_KEPT = "nothing is kept beyond what was written"


@contextmanager
def open_output(path: Path | None) -> Iterator[TextIO]:
    """Open standard output as UTF-8, or a file that appears when it is complete.

    A file is compressed if its name ends in .gz or .zst. A device or a pipe is written
    directly.

    Args:
        path: None and `-` mean standard output.
    """
    if path is None or path == STANDARD_STREAM:
        require_output(None)
        sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr] # a real file
        with hint_if_stopped(_NOT_KEPT):
            yield sys.stdout
        return
    if not can_be_replaced(path):
        with (
            hint_if_stopped(_NOT_KEPT),
            path.open("w", encoding="utf-8", newline="\n") as file,
        ):
            yield file
        return
    from pipelines.artifacts.compression import text_writer

    path = follow_link(path)
    temporary = path.with_name(f"{path.name}.tmp-{os.getpid()}")
    try:
        with (
            hint_if_stopped(f"{path} was not written"),
            temporary.open("wb") as raw,
            text_writer(raw, path) as file,
        ):
            yield file
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def require_output(path: Path | None) -> None:
    """Check that an output can be written, before any work is done.

    Args:
        path: None and `-` mean standard output.

    Raises:
        UsageError: Standard output is closed, the path is a folder, or its folder does
            not exist.
    """
    if path is None or path == STANDARD_STREAM:
        if not sys.stdout.writable():
            raise UsageError("standard output is closed", hint="-o FILE writes a file")
    elif path.is_dir():
        raise UsageError(f"output {path} is a folder", hint="name a file in it")
    elif not path.parent.is_dir():
        raise UsageError(
            f"output {path}: there is no folder {path.parent}",
            hint=f"mkdir -p {path.parent}",
        )


def can_be_replaced(path: Path) -> bool:
    """Return whether a path is or would be a regular file, no device or stream."""
    if str(path.absolute()).startswith(_STREAMS):
        return False
    return path.is_file() or not path.exists()


def follow_link(path: Path) -> Path:
    """Return the target of a symbolic link to a file, so that the link is kept."""
    return path.resolve() if path.is_symlink() and can_be_replaced(path) else path


def refuse_same_file(
    outputs: Iterable[Path | None], inputs: Iterable[Path | None]
) -> None:
    """Refuse an output that is also an input, or that is named twice.

    Symbolic and hard links count as the file they lead to. A terminal, pipe or device
    may be both.

    Args:
        outputs: Files to write; `-` means standard output, None is ignored.
        inputs: Files to read; `-` means standard input, None is ignored.

    Raises:
        UsageError: An output is the same file as an input or as another output.
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
    """Return a value that all names of a regular file share; None for other kinds."""
    try:
        if path == STANDARD_STREAM:
            status = os.fstat(standard_stream.fileno()) if standard_stream else None
        else:
            status = path.stat()
    except FileNotFoundError:
        return path.resolve()
    except (OSError, ValueError):  # a stream in memory, a loop of links
        return None
    if status is None or not stat.S_ISREG(status.st_mode):
        return None
    return status.st_dev, status.st_ino


def _name(path: Path, role: str) -> str:
    return f"standard {role}" if path == STANDARD_STREAM else f"{role} {path}"

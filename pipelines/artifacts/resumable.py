"""An output file that is written in pieces and survives being interrupted.

    OUT.part         what has been written
    OUT.part.json    what it will be (a hash), and how much of it counts
    OUT              the same, once it is complete

A piece counts once it is recorded; what a killed process wrote beyond that is cut off.
"""

import fcntl
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from pipelines.artifacts.files import write_atomic
from pipelines.errors import BusyError

log = logging.getLogger(__name__)


@dataclass
class ResumableFile:
    """The part of an output that is there."""

    file: TextIO
    num_inputs: int
    """Input lines whose output is there."""
    _record: Path
    _identity: str

    def record(self, num_inputs: int) -> None:
        """Let all that has been written count, as the output of so many inputs."""
        self.file.flush()
        os.fsync(self.file.fileno())
        self.num_inputs = num_inputs
        content = {
            "identity": self._identity,
            "inputs": num_inputs,
            "bytes": os.fstat(self.file.fileno()).st_size,
        }
        write_atomic(self._record, (json.dumps(content) + "\n").encode())


def can_go_on(source: Path, output: Path) -> bool:
    """Whether both are plain files: a pipe is read once, a device is not replaced."""
    plain_output = output.is_file() or not (output.exists() or output.is_symlink())
    return plain_output and (source.is_file() or not source.exists())


@contextmanager
def resumable(path: Path, identity: str) -> Iterator[ResumableFile]:
    """Begin an output, or go on with it where a process with the same task stopped.

    Args:
        path: Of the complete output, which appears at the end of the block.
        identity: Hash of all that decides what will be written.
    """
    part = path.with_name(f"{path.name}.part")
    record = path.with_name(f"{path.name}.part.json")
    num_inputs, num_bytes = _read_record(part, record, identity)
    with part.open("a", encoding="utf-8", newline="\n") as file:
        _lock(file, path)
        file.truncate(num_bytes)
        found = ResumableFile(file, num_inputs, record, identity)
        found.record(num_inputs)
        yield found
        file.flush()
        os.fsync(file.fileno())
        part.replace(path)
        record.unlink()


def _read_record(part: Path, record: Path, identity: str) -> tuple[int, int]:
    """How many inputs and bytes of an earlier process count."""
    try:
        content = json.loads(record.read_bytes())
        same = content["identity"] == identity
        num_inputs, num_bytes = int(content["inputs"]), int(content["bytes"])
        whole = part.stat().st_size >= num_bytes >= 0
    except FileNotFoundError:
        return 0, 0
    except (ValueError, KeyError, TypeError):
        same = whole = False
    if same and whole:
        log.info("going on with %s after %d lines", part, num_inputs)
        return num_inputs, num_bytes
    why = "was begun with other models, settings or input" if whole else "is damaged"
    log.warning("%s %s; starting again", part, why)
    return 0, 0


def _lock(file: TextIO, path: Path) -> None:
    """Keep others from writing the same file; the lock ends with the process."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BusyError(f"another process is writing {path}") from None

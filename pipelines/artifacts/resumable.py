"""An output file that is written in pieces and survives being interrupted.

    OUT.part         what has been written
    OUT.part.json    what it will be (a hash), and how much of it counts
    OUT              the same, once it is complete

A piece counts once it is recorded; what a killed process wrote beyond that is cut off.
Where OUT ends in .gz or .zst a piece is a compressed frame.
"""

import fcntl
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TextIO

from pipelines.artifacts.compression import text_writer
from pipelines.artifacts.files import write_atomic
from pipelines.artifacts.layout import part_files
from pipelines.errors import BusyError
from pipelines.wording import plural

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
        self._write_record(num_inputs)

    def _write_record(self, num_inputs: int) -> None:
        os.fsync(self.file.fileno())
        self.num_inputs = num_inputs
        content = {
            "identity": self._identity,
            "inputs": num_inputs,
            "bytes": os.fstat(self.file.fileno()).st_size,
        }
        write_atomic(self._record, (json.dumps(content) + "\n").encode())


@contextmanager
def resumable(path: Path, identity: str) -> Iterator[ResumableFile]:
    """Begin an output, or resume it where a process with the same task stopped.

    Args:
        path: Of the complete output, which appears at the end of the block.
        identity: Hash of all that decides what will be written.
    """
    part, record = part_files(path)
    num_inputs, num_bytes = _read_record(part, record, identity)
    with part.open("ab") as raw:
        _lock(raw, path)
        raw.truncate(num_bytes)
        with text_writer(raw, path) as file:
            found = ResumableFile(file, num_inputs, record, identity)
            found._write_record(num_inputs)
            yield found
            file.flush()
            os.fsync(raw.fileno())
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
        log.info("resuming %s after %s", part, plural(num_inputs, "line"))
        return num_inputs, num_bytes
    why = "was begun with other models, settings or input" if whole else "is damaged"
    log.warning("%s %s; starting again", part, why)
    return 0, 0


def _lock(file: BinaryIO, path: Path) -> None:
    """Keep others from writing the same file; the lock ends with the process."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BusyError(f"another process is writing {path}") from None

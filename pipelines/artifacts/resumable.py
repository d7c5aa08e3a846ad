"""An output file whose writing can be interrupted and resumed.

    OUT.part         the output so far
    OUT.part.json    hash of the task, and how many inputs and bytes are recorded
    OUT              the complete output, renamed from OUT.part

Bytes that a killed process wrote after its last record are cut off. If OUT ends in .gz
or .zst, each record ends a compressed frame.
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
    """An output that is being written."""

    file: TextIO
    num_inputs: int
    """Input lines whose output is recorded."""
    _record_path: Path
    _identity: str

    def record(self, num_inputs: int) -> None:
        """Record all that has been written as the output of the first `num_inputs`."""
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
        write_atomic(self._record_path, (json.dumps(content) + "\n").encode())


@contextmanager
def resumable(path: Path, identity: str) -> Iterator[ResumableFile]:
    """Start an output, or resume it where a process with the same task stopped.

    Args:
        path: The complete output, which appears when the block ends without an error.
        identity: Hash of everything that determines the output.

    Raises:
        BusyError: Another process is writing the same output.
    """
    part, record = part_files(path)
    with _open_locked(part, path) as raw:
        num_inputs, num_bytes = _read_record(part, record, identity)
        raw.truncate(num_bytes)
        with text_writer(raw, path) as file:
            output = ResumableFile(file, num_inputs, record, identity)
            output._write_record(num_inputs)
            yield output
            file.flush()
            os.fsync(raw.fileno())
            part.replace(path)
            record.unlink()


def _read_record(part: Path, record: Path, identity: str) -> tuple[int, int]:
    """Read how many inputs and bytes an earlier process with the same task recorded."""
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
    why = "was started with other models, settings or input" if whole else "is damaged"
    log.warning("%s %s; starting again", part, why)
    return 0, 0


def _open_locked(part: Path, path: Path) -> BinaryIO:
    """Open the part for appending, locked against other writers of `path`.

    The lock ends with the process. A process that completed the output between the open
    and the lock has renamed the file: then a new part is opened.
    """
    while True:
        file = part.open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(file.fileno()), part.stat()):
                return file
        except FileNotFoundError:
            pass
        except BlockingIOError:
            file.close()
            raise BusyError(f"another process is writing {path}") from None
        file.close()

"""Files and folders that appear whole or not at all.

Owns hashing, atomic writes and the staging of a folder under a temporary name:

    <name>.tmp-<pid>    being written, or being deleted
    <name>.old-<pid>    being replaced

Knows no format.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CHUNK_BYTES = 1 << 20


def sha256_bytes(data: bytes) -> str:
    """SHA-256 of `data` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes in hexadecimal, read in chunks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` so that a reader finds the old file or the whole new one."""
    temporary = _sibling(path, "tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _fsync(path.parent)


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """Build a folder under a temporary name and rename it when it is complete.

    Yields:
        `<folder>.tmp-<pid>`, empty. It replaces `folder` when the block ends without an
        error, and is removed otherwise. Leftovers of dead processes are removed first.
        A symbolic link stays; the folder that it names is replaced where it is.
    """
    if folder.is_symlink():
        folder = folder.resolve()
    else:
        folder.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers_of(folder)
    temporary = _sibling(folder, "tmp")
    temporary.mkdir()
    try:
        yield temporary
        sync_tree(temporary)
        _replace_folder(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def sync_tree(folder: Path) -> None:
    """Make a folder and every file below it durable."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            _fsync(path)
    _fsync(folder)


def remove_folder(folder: Path) -> None:
    """Remove a folder so that a reader finds it whole or not at all."""
    temporary = _sibling(folder, "tmp")
    folder.rename(temporary)
    shutil.rmtree(temporary)


def remove_leftovers_of(path: Path) -> None:
    """Remove temporary siblings of `path` that belong to dead processes.

    Where a process was killed between the two renames of a replacement, the old folder
    gets its name back.
    """
    for kind in ("old", "tmp"):
        for leftover in sorted(path.parent.glob(f"{path.name}.{kind}-*")):
            if _is_alive(leftover.name.rpartition("-")[2]):
                continue
            if kind == "old" and not path.exists():
                leftover.rename(path)
            elif leftover.is_dir():
                shutil.rmtree(leftover)
            else:
                leftover.unlink()


def remove_leftovers_in(folder: Path) -> None:
    """Remove the leftovers of all files and folders in `folder`."""
    names = {
        name
        for path in folder.iterdir()
        for kind in ("old", "tmp")
        for name, separator, _ in [path.name.rpartition(f".{kind}-")]
        if separator
    }
    for name in sorted(names):
        remove_leftovers_of(folder / name)


def _sibling(path: Path, kind: str) -> Path:
    return path.with_name(f"{path.name}.{kind}-{os.getpid()}")


def _fsync(path: Path) -> None:
    """Make the bytes of a file, or the entries of a folder, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _replace_folder(new: Path, folder: Path) -> None:
    """Rename `new` to `folder`, which may exist."""
    old = _sibling(folder, "old")
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    _fsync(folder.parent)
    if old.exists():
        shutil.rmtree(old)


def _is_alive(pid: str) -> bool:
    """Whether another process of this number is running."""
    if not pid.isdigit() or int(pid) == os.getpid():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

"""Files and folders that are either whole or not there.

Owns hashing, atomic writes and the staging of a folder under another name. Knows no
format.
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
    """SHA-256 of a file's bytes in hexadecimal, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` so that a reader finds the old file or the whole new one."""
    temporary = path.with_name(f"{path.name}.tmp-{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a folder's entries durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Make every file below a folder durable."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
    sync_folder(folder)


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """Build a folder under another name and put it in place when it is whole.

    Yields:
        `<folder>.tmp-<pid>`, empty. It replaces `folder` when the block ends well and
        disappears when it does not. What a killed process left behind is removed.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder)
    temporary = folder.with_name(f"{folder.name}.tmp-{os.getpid()}")
    temporary.mkdir()
    try:
        yield temporary
        sync_tree(temporary)
        replace_folder(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def replace_folder(new: Path, folder: Path) -> None:
    """Put `new` in the place of `folder`, which may or may not exist."""
    old = folder.with_name(f"{folder.name}.old-{os.getpid()}")
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    sync_folder(folder.parent)
    if old.exists():
        shutil.rmtree(old)


def remove_leftovers(folder: Path) -> None:
    """Remove what dead processes left of `folder`; undo a swap that was cut short."""
    for kind in ("old", "tmp"):
        for path in sorted(folder.parent.glob(f"{folder.name}.{kind}-*")):
            if _alive(path.name.rpartition("-")[2]):
                continue
            if kind == "old" and not folder.exists():
                path.rename(folder)
            elif path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def remove_all_leftovers(folder: Path) -> None:
    """Remove what dead processes left of anything in a folder."""
    names = {
        base
        for path in folder.iterdir()
        for kind in ("old", "tmp")
        for base, found, _ in [path.name.rpartition(f".{kind}-")]
        if found
    }
    for name in sorted(names):
        remove_leftovers(folder / name)


def remove_folder(folder: Path) -> None:
    """Remove a folder so that no reader finds half of it, whatever happens."""
    doomed = folder.with_name(f"{folder.name}.tmp-{os.getpid()}")
    folder.rename(doomed)
    shutil.rmtree(doomed)


def _alive(pid: str) -> bool:
    if not pid.isdigit() or int(pid) == os.getpid():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

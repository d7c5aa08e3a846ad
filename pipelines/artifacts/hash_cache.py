"""`.s2s/hashes.json`: the hashes of files that have not changed since they were read.

A hash is remembered by the file's path, size, time of modification and inode. The cache
may be deleted at any time; a damaged one counts as empty.
"""

import json
from pathlib import Path

from pipelines.artifacts.corpus import hash_file
from pipelines.artifacts.files import write_atomic
from pipelines.artifacts.layout import HASHES, Layout


def cached_hash(path: Path, layout: Layout) -> str:
    """SHA-256 of a file's content, read only if the cache does not have it.

    Args:
        path: The file.
        layout: The project, whose cache is extended unless the project is read-only.

    Raises:
        CorpusError: The file cannot be read.
    """
    cache = layout.state / HASHES
    hashes = _read(cache)
    status = path.stat()
    key = f"{path.resolve()}|{status.st_size}|{status.st_mtime_ns}|{status.st_ino}"
    if key not in hashes:
        hashes[key] = hash_file(path)
        if not layout.read_only:
            _write(cache, hashes)
    return hashes[key]


def _read(cache: Path) -> dict[str, str]:
    try:
        hashes = json.loads(cache.read_bytes())
    except (OSError, ValueError):
        return {}
    return hashes if isinstance(hashes, dict) else {}


def _write(cache: Path, hashes: dict[str, str]) -> None:
    try:
        cache.parent.mkdir(exist_ok=True)
        write_atomic(cache, json.dumps(hashes, indent=1).encode())
    except OSError:  # in a read-only project each command hashes again
        return

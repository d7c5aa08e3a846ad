"""`.s2s/hashes.json`: the hashes of files that have not changed since they were read.

A hash is remembered by the file's path, size, time of modification and inode. The cache
may be deleted at any time; a damaged one counts as empty.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from pipelines.artifacts.corpus import file_stamp, hash_file
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
    stamp = file_stamp(path)
    if stamp not in hashes:
        hashes[stamp] = hash_file(path)
        if not layout.read_only:
            _write(cache, hashes)
    return hashes[stamp]


def cache_hashes(hashes: Mapping[str, str], layout: Layout) -> None:
    """Store hashes that were computed elsewhere: `file_stamp` -> SHA-256."""
    cache = layout.state / HASHES
    _write(cache, _read(cache) | dict(hashes))


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

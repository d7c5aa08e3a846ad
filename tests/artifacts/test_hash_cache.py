import hashlib
import json
import os

import pytest

from pipelines.artifacts.hash_cache import cached_hash
from pipelines.artifacts.layout import HASHES, Layout
from pipelines.errors import CorpusError

SHA256 = hashlib.sha256(b"text\n").hexdigest()


@pytest.fixture
def file(tmp_path):
    (tmp_path / "file").write_bytes(b"text\n")
    return tmp_path / "file"


@pytest.fixture
def cache(tmp_path):
    return tmp_path / ".s2s" / HASHES


def test_a_hash_is_cached_by_path_size_time_and_inode(file, cache, tmp_path):
    assert cached_hash(file, Layout(tmp_path)) == SHA256
    status = file.stat()
    key = f"{file}|{status.st_size}|{status.st_mtime_ns}|{status.st_ino}"
    assert json.loads(cache.read_bytes()) == {key: SHA256}
    cache.write_text(json.dumps({key: "cached"}))
    assert cached_hash(file, Layout(tmp_path)) == "cached"
    os.utime(file, (1, 1))
    assert cached_hash(file, Layout(tmp_path)) == SHA256


@pytest.mark.parametrize("content", ["", "{", "[]", "1"])
def test_a_damaged_cache_counts_as_empty(file, cache, tmp_path, content):
    cache.parent.mkdir()
    cache.write_text(content)
    assert cached_hash(file, Layout(tmp_path)) == SHA256
    assert list(json.loads(cache.read_bytes()).values()) == [SHA256]


def test_a_read_only_project_is_left_alone(file, cache, tmp_path):
    assert cached_hash(file, Layout(tmp_path, read_only=True)) == SHA256
    assert not cache.parent.exists()


def test_a_cache_that_cannot_be_written_is_no_error(file, cache, tmp_path):
    cache.parent.write_text("a file in place of the folder")
    assert cached_hash(file, Layout(tmp_path)) == SHA256


def test_a_file_that_cannot_be_read_is_an_error(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(CorpusError):
        cached_hash(tmp_path / "folder", Layout(tmp_path))

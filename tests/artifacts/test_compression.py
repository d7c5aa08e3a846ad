"""Compressed bytes where text is expected, and compressed outputs."""

import bz2
import gzip
import io
import lzma
import shutil
import subprocess
from pathlib import Path

import pytest
import zstandard

from pipelines.artifacts.compression import text_writer
from pipelines.artifacts.corpus import read_lines
from pipelines.artifacts.stream import strip_lines
from pipelines.errors import CorpusError

COMPRESSED = {
    "gzip": gzip.compress(b"a\n"),
    "Zstandard": zstandard.compress(b"a\n"),
    "xz": lzma.compress(b"a\n"),
    "bzip2": bz2.compress(b"a\n"),
}


@pytest.mark.parametrize("kind", COMPRESSED)
def test_compressed_bytes_are_not_taken_for_text(tmp_path, kind):
    with pytest.raises(
        CorpusError, match=f"standard input is {kind}-compressed"
    ) as caught:
        list(strip_lines(io.BytesIO(COMPRESSED[kind])))
    assert " | s2s ..." in caught.value.hint
    path = tmp_path / "a.txt"
    path.write_bytes(COMPRESSED[kind])
    with pytest.raises(CorpusError, match=f"a.txt is {kind}-compressed"):
        list(read_lines(path))


@pytest.mark.parametrize("level", range(1, 10))
def test_bzip2_is_recognised_at_any_level(level):
    data = bz2.compress(b"a\n", level)
    with pytest.raises(CorpusError, match="is bzip2-compressed") as caught:
        list(strip_lines(io.BytesIO(data)))
    assert "bzcat x.bz2 | " in caught.value.hint


def test_text_that_begins_like_compressed_bytes_is_text():
    for line in (b"BZh9 is how bzip2 begins", b"\xfd7zX", b"\x1f", b"("):
        assert list(strip_lines(io.BytesIO(line))) == [line]


def write(path, texts, mode="wb"):
    with path.open(mode) as raw, text_writer(raw, path) as file:
        for text in texts:
            file.write(text)
            file.flush()


@pytest.mark.parametrize("name", ["out.gz", "out.zst", "out"])
def test_each_flush_leaves_a_file_that_can_be_read_and_appended_to(tmp_path, name):
    path = tmp_path / name
    with path.open("wb") as raw, text_writer(raw, path) as file:
        for number, text in enumerate(["ä\n", "b\u2028\n", "c\n"], start=1):
            file.write(text)
            file.flush()
            assert len(list(read_lines(path))) == number
    write(path, ["d\n"], mode="ab")
    assert [*map(bytes.decode, read_lines(path))] == ["ä", "b\u2028", "c", "d"]


@pytest.mark.parametrize("texts", [[], ["a\n", "b\n"]], ids=["empty", "text"])
@pytest.mark.parametrize(
    ("name", "cat"), [("out.gz", "gzip"), ("out.zst", "zstd")], ids=["gz", "zst"]
)
def test_other_programs_read_the_output(tmp_path, name, cat, texts):
    if shutil.which(cat) is None:
        pytest.skip(f"{cat} is not installed")
    path = tmp_path / name
    write(path, texts)
    done = subprocess.run([cat, "-dc", path], capture_output=True, check=True)
    assert done.stdout.decode() == "".join(texts)


def test_the_same_text_gives_the_same_bytes(tmp_path):
    for name in ("a.gz", "b.gz"):
        write(tmp_path / name, ["a\n"])
    assert Path(tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()

import gzip
import logging
import random
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from pipelines.artifacts.corpus import (
    decode_line,
    file_stamp,
    hash_file,
    named_in_settings,
    read_lines,
    read_part,
    survey_file,
    survey_pair,
    warn_of_lines,
    write_part,
)
from pipelines.artifacts.files import sha256_bytes
from pipelines.errors import CorpusError, CorruptArtifactError, MissingArtifactError

TEXT = b"one\ntwo\nthree\n"


def put(path, data):
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("raw", "lines"),
    [
        (b"a\nb\n", [b"a", b"b"]),
        (b"a\nb", [b"a", b"b"]),
        (b"a\r\nb\r\n", [b"a", b"b"]),
        (b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n", [b"a", b"\xef\xbb\xbfb"]),
        (b"a\rb\n", [b"a\rb"]),
        (b"a\x0bb\x0cc\x00\n", [b"a\x0bb\x0cc\x00"]),
        ("a\u2028b\u0085c\n".encode(), ["a\u2028b\u0085c".encode()]),
        (b"\n\n", [b"", b""]),
        (b"", []),
    ],
)
def test_lines_end_at_line_feeds_only(tmp_path, raw, lines):
    assert list(read_lines(put(tmp_path / "a.txt", raw))) == lines


@pytest.mark.parametrize(
    ("name", "compress"),
    [
        ("a.txt", bytes),
        ("a.gz", gzip.compress),
        ("a.gz", lambda data: gzip.compress(data[:4]) + gzip.compress(data[4:])),
        ("a.gz", lambda data: gzip.compress(data) + bytes(600)),
        ("a.zst", zstandard.compress),
        (
            "a.zst",
            lambda data: zstandard.compress(data[:4]) + zstandard.compress(data[4:]),
        ),
    ],
    ids=["plain", "gzip", "two gzip members", "padded gzip", "zstd", "two zstd frames"],
)
def test_compressed_files_read_as_plain_ones(tmp_path, name, compress):
    path = put(tmp_path / name, compress(TEXT))
    assert list(read_lines(path)) == [b"one", b"two", b"three"]
    survey = survey_file(path)
    assert survey.num_lines == 3
    assert survey.sha256 == sha256_bytes(path.read_bytes()) == hash_file(path)
    assert survey.stamp == file_stamp(path)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.gz", gzip.compress(TEXT, mtime=0)[:-4]),
        ("a.gz", b"no gzip"),
        ("a.zst", b"no zstd"),
    ],
)
def test_a_damaged_compressed_file_is_named(tmp_path, name, data):
    path = put(tmp_path / name, data)
    with pytest.raises(CorpusError, match=f"{name} is damaged"):
        list(read_lines(path))


def test_a_zst_file_that_is_cut_short_is_named(tmp_path):
    text = b"".join(b"line %d\n" % n for n in range(10_000))
    path = put(tmp_path / "a.zst", zstandard.compress(text)[:-40])
    with pytest.raises(CorpusError, match=r"a\.zst is damaged: it ends inside"):
        list(read_lines(path))


def test_a_large_zst_file_is_read_in_pieces(tmp_path):
    generator = random.Random(1)
    lines = [b"%x" % generator.getrandbits(200) for _ in range(20_000)]
    data = zstandard.compress(b"\n".join(lines))
    assert list(read_lines(put(tmp_path / "a.zst", data))) == lines


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(CorpusError, match="nowhere not found"):
        survey_file(tmp_path / "nowhere")
    with pytest.raises(CorpusError, match="is a folder"):
        survey_file(tmp_path)
    with pytest.raises(CorpusError, match="nowhere"):
        hash_file(tmp_path / "nowhere")


@pytest.mark.parametrize("read", [survey_file, hash_file])
def test_only_files_of_the_settings_point_to_them(tmp_path, read):
    with pytest.raises(CorpusError) as caught:
        read(tmp_path / "nowhere")
    assert caught.value.hint == "check the path"
    with pytest.raises(CorpusError) as caught, named_in_settings():
        read(tmp_path / "nowhere")
    assert caught.value.hint == "check [data] in s2s.toml"


def test_other_hints_stay_as_they_are(tmp_path):
    path = put(tmp_path / "a.txt", b"caf\xe9\n")
    with pytest.raises(CorpusError) as caught, named_in_settings():
        survey_file(path)
    assert "iconv" in caught.value.hint


def test_a_file_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    def refuse(path, mode):
        raise PermissionError

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(CorpusError, match=r"a\.txt may not be read"):
        list(read_lines(tmp_path / "a.txt"))


def test_an_empty_file_is_refused(tmp_path):
    with pytest.raises(CorpusError, match=r"a\.txt is empty"):
        survey_file(put(tmp_path / "a.txt", b""))


def test_a_line_that_is_not_utf8_is_named_with_its_place(tmp_path):
    path = put(tmp_path / "a.txt", b"fine\ncaf\xe9 noir\n")
    with pytest.raises(
        CorpusError, match=r"a\.txt:2: not UTF-8 at byte 4 of the line \(0xe9\)"
    ) as caught:
        survey_file(path)
    assert "iconv" in caught.value.hint


def test_decode_line_decodes(tmp_path):
    assert decode_line("é".encode(), tmp_path, 1) == "é"


def test_unequal_files_are_named_with_both_counts(tmp_path):
    src, tgt = put(tmp_path / "a.en", TEXT), put(tmp_path / "a.fr", b"un\n")
    with pytest.raises(CorpusError, match=r"a\.en has 3 lines, .*a\.fr has 1"):
        survey_pair(src, tgt)


def test_files_of_equal_length_are_surveyed(tmp_path):
    src, tgt = put(tmp_path / "a.en", TEXT), put(tmp_path / "a.fr", b"1\n2\n3")
    assert [survey.num_lines for survey in survey_pair(src, tgt)] == [3, 3]


token = st.text(min_size=1, max_size=5).filter(
    lambda t: not set(t) & set(" \n") and t.isprintable()
)


@given(sentences=st.lists(st.lists(token | st.just("\ufeff"), min_size=1)))
def test_a_part_reads_as_it_was_written(tmp_path_factory, sentences):
    path = tmp_path_factory.mktemp("part") / "train.00000.src"
    write_part(path, sentences)
    assert list(read_part(path)) == sentences


@pytest.mark.parametrize(
    ("data", "message"), [(b"a\nb", r"src:2: .* cut short"), (b"\xff\n", "not UTF-8")]
)
def test_a_damaged_part_is_named(tmp_path, data, message):
    with pytest.raises(CorruptArtifactError, match=message):
        list(read_part(put(tmp_path / "train.00000.src", data)))


def test_a_missing_part_is_named(tmp_path):
    with pytest.raises(MissingArtifactError, match=r"train\.00000\.src not found"):
        list(read_part(tmp_path / "train.00000.src"))


@pytest.mark.parametrize(
    ("numbers", "messages"),
    [
        ([], []),
        ([7], ["1 line too long: line 7"]),
        ([2, 5], ["2 lines too long: lines 2, 5"]),
        ([1, 2, 3, 4], ["4 lines too long: lines 1, 2, 3, ..."]),
    ],
)
def test_a_warning_of_lines_follows_their_number(caplog, numbers, messages):
    warn_of_lines(logging.getLogger(__name__), numbers, "too long")
    assert caplog.messages == messages

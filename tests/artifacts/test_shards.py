import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load, save

from pipelines.artifacts.shards import open_shard, write_shard
from pipelines.errors import CorruptArtifactError

METADATA = {"src_vocab": "a", "tgt_vocab": "b", "split": "train", "part": "0"}

sentence = st.lists(st.integers(0, 2**31 - 1), max_size=6)
pairs = st.lists(st.tuples(sentence, sentence), max_size=12)


def write(path, sentences):
    src, tgt = [s for s, _ in sentences], [t for _, t in sentences]
    write_shard(path, src, tgt, metadata=METADATA)
    return path


@given(sentences=pairs, size=st.integers(1, 13))
def test_shards_of_any_size_read_back_what_was_written(
    tmp_path_factory, sentences, size
):
    folder = tmp_path_factory.mktemp("shards")
    read = []
    for start in range(0, len(sentences), size):
        path = write(folder / f"{start:05d}", sentences[start : start + size])
        shard = open_shard(path)
        assert shard.metadata == METADATA
        read += [
            tuple(side.tolist() for side in shard.pair(i)) for i in range(len(shard))
        ]
    assert read == sentences


def test_an_empty_shard_can_be_opened(tmp_path):
    assert len(open_shard(write(tmp_path / "s", []))) == 0


def test_safetensors_reads_the_file(tmp_path):
    path = write(tmp_path / "s", [([5, 2], [7, 8, 2])])
    arrays = load(path.read_bytes())
    np.testing.assert_array_equal(arrays["tgt_tokens"], [7, 8, 2])
    assert arrays["src_tokens"].dtype == np.int32
    assert arrays["src_offsets"].dtype == np.int64


def test_writing_again_gives_the_same_bytes(tmp_path):
    sentences = [([5, 2], [7, 8, 2]), ([6, 2], [2])]
    first = write(tmp_path / "s", sentences).read_bytes()
    for _ in range(20):
        assert write(tmp_path / "s", sentences).read_bytes() == first


def test_tokens_are_memory_mapped(tmp_path):
    shard = open_shard(write(tmp_path / "s", [([5, 2], [2])]))
    assert isinstance(shard.src_tokens, np.memmap)


def test_unequal_sides_are_refused(tmp_path):
    with pytest.raises(ValueError, match="2 source and 1 target"):
        write_shard(tmp_path / "s", [[2], [2]], [[2]], metadata={})


@pytest.mark.parametrize("size", [0, 4, 9, 100, -1, -20])
def test_a_shard_that_is_cut_short_is_refused(tmp_path, size):
    path = write(tmp_path / "s", [([5, 2], [7, 8, 2])])
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(CorruptArtifactError, match="not a whole shard"):
        open_shard(path)


@pytest.mark.parametrize("header", [b"[]", b"{}", b"nojs", b'{"src_tokens": 5}'])
def test_a_file_that_is_not_a_shard_is_refused(tmp_path, header):
    (tmp_path / "s").write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(CorruptArtifactError, match="not a whole shard"):
        open_shard(tmp_path / "s")


@pytest.mark.parametrize(
    "arrays",
    [
        {"src_offsets": [0, 9]},
        {"src_offsets": [1, 2]},
        {"tgt_offsets": [0, 1, 2]},
        {"src_offsets": []},
    ],
    ids=["past the end", "not from 0", "unequal sides", "none"],
)
def test_offsets_that_do_not_fit_are_refused(tmp_path, arrays):
    whole: dict[str, Any] = {
        "src_tokens": np.array([5, 2], np.int32),
        "src_offsets": np.array([0, 2], np.int64),
        "tgt_tokens": np.array([6, 2], np.int32),
        "tgt_offsets": np.array([0, 2], np.int64),
    }
    whole |= {name: np.array(value, np.int64) for name, value in arrays.items()}
    (tmp_path / "s").write_bytes(save(whole))
    with pytest.raises(CorruptArtifactError, match="offsets do not fit"):
        open_shard(tmp_path / "s")


def test_the_header_is_sorted_json(tmp_path):
    data = write(tmp_path / "s", [([2], [2])]).read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    assert list(header) == sorted(header)

import numpy as np
import pytest

from pipelines.artifacts.shards import write_shard
from pipelines.data.dataset import LENGTH_ALLOWANCE, ParallelDataset
from pipelines.errors import CorruptArtifactError, MissingArtifactError

SHARDS = [
    ([[5, 2], [6, 7, 2]], [[3, 2], [2]]),
    ([[8, 2]], [[4, 4, 4, 2]]),
]


@pytest.fixture
def folder(tmp_path):
    for number, (src, tgt) in enumerate(SHARDS):
        write_shard(
            tmp_path / f"train.{number:05d}.safetensors",
            src,
            tgt,
            metadata={"src_vocab": "a", "tgt_vocab": "b"},
        )
    return tmp_path


def test_dataset_is_all_shards_in_order(folder):
    dataset = ParallelDataset.open(folder, "train")
    assert len(dataset) == 3
    assert dataset.src_lengths.tolist() == [2, 3, 2]
    assert dataset.tgt_lengths.tolist() == [2, 1, 4]
    src, tgt = dataset.pair(2)
    assert (src.tolist(), tgt.tolist()) == ([8, 2], [4, 4, 4, 2])


def test_missing_split_names_the_stage_to_run(folder):
    with pytest.raises(MissingArtifactError, match="no shard of valid") as caught:
        ParallelDataset.open(folder, "valid")
    assert "s2s binarize" in caught.value.hint


def test_other_vocabularies_are_refused(folder):
    dataset = ParallelDataset.open(folder, "train")
    dataset.require_vocabularies("a", "b")
    with pytest.raises(CorruptArtifactError, match="other vocabularies"):
        dataset.require_vocabularies("a", "c")


def test_pairs_of_any_shards_are_read_in_the_order_of_their_ids(folder):
    src, tgt = ParallelDataset.open(folder, "train").read_pairs(np.array([2, 0]))
    assert (src.tokens.tolist(), src.lengths.tolist()) == ([8, 2, 5, 2], [2, 2])
    assert (tgt.tokens.tolist(), tgt.lengths.tolist()) == ([4, 4, 4, 2, 3, 2], [4, 2])


def test_length_ratio_is_a_fifth_above_nearly_all_pairs_and_at_least_one(tmp_path):
    path = tmp_path / "train.00000.safetensors"
    write_shard(path, [[5, 2]] * 9, [[4] * 13 + [2]] * 9, metadata={})
    dataset = ParallelDataset.open(tmp_path, "train")
    assert dataset.length_ratio() == pytest.approx(1.2 * (14 - LENGTH_ALLOWANCE) / 2)
    write_shard(path, [[5, 2]] * 9, [[4, 2]] * 9, metadata={})
    assert ParallelDataset.open(tmp_path, "train").length_ratio() == 1.0

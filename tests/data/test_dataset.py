import numpy as np
import pytest
import torch

from pipelines.artifacts.shards import write_shard
from pipelines.data.batch import collate
from pipelines.data.dataset import ParallelDataset
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


def test_collate_pads_shifts_the_target_and_starts_it_with_eos(folder):
    batch = collate(ParallelDataset.open(folder, "train"), np.array([0, 1, 2]))
    assert batch.src_SB.tolist() == [[5, 6, 8], [2, 7, 2], [0, 2, 0]]
    assert batch.src_lengths_B.tolist() == [2, 3, 2]
    assert batch.tgt_in_TB[:, 2].tolist() == [2, 4, 4, 4]
    assert batch.tgt_out_N.tolist() == [3, 2, 4, 2, 4, 4, 2]
    assert batch.tgt_rows_N.tolist() == [0, 1, 2, 3, 5, 8, 11]
    assert (batch.num_sentences, batch.num_tgt_tokens, batch.num_words) == (3, 7, 8)
    assert batch.src_SB.dtype is torch.int64

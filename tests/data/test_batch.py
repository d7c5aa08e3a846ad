import numpy as np
import pytest
import torch

from pipelines.artifacts.shards import write_shard
from pipelines.artifacts.vocab import EOS
from pipelines.data.batch import collate, collate_local, make_batch, pack_sequences
from pipelines.data.dataset import ParallelDataset

PAIRS = [([5, 2], [3, 2]), ([6, 7, 2], [2]), ([8, 2], [4, 4, 4, 2])]


@pytest.fixture
def dataset(tmp_path):
    src, tgt = zip(*PAIRS, strict=True)
    write_shard(tmp_path / "train.00000.safetensors", src, tgt, metadata={})
    return ParallelDataset.open(tmp_path, "train")


def unpack(sequences):
    """The sentences in their original order."""
    tokens = sequences.tokens_N.tolist()
    rows: list[list[int]] = [[] for _ in range(sequences.batch_sizes[0])]
    for size in sequences.batch_sizes:
        step, tokens = tokens[:size], tokens[size:]
        for row, token in zip(rows, step, strict=False):
            row.append(token)
    assert not tokens
    indices = sequences.unsorted_indices_B
    return rows if indices is None else [rows[index] for index in indices]


def test_sentences_are_packed_time_major_longest_first():
    packed = pack_sequences([[5, 2], [6, 7, 2], [8, 2]])
    assert packed.batch_sizes == (3, 3, 1)
    assert packed.tokens_N.tolist() == [6, 5, 8, 7, 2, 2, 2]
    assert packed.unique_U.tolist() == [2, 5, 6, 7, 8]
    assert packed.unsorted_indices_B is not None
    assert packed.unsorted_indices_B.tolist() == [1, 0, 2]
    assert unpack(packed) == [[5, 2], [6, 7, 2], [8, 2]]


def test_sentences_of_one_length_keep_their_order():
    packed = pack_sequences([[5, 2], [6, 2]])
    assert packed.unsorted_indices_B is None
    assert packed.tokens_N.tolist() == [5, 6, 2, 2]


def test_batch_has_the_longest_target_first_and_the_decoder_reads_eos_first():
    batch = make_batch(PAIRS)
    assert batch.pair_ids.tolist() == [2, 0, 1]
    assert unpack(batch.src) == [[8, 2], [5, 2], [6, 7, 2]]
    assert unpack(batch.tgt_in) == [[EOS, 4, 4, 4], [EOS, 3], [EOS]]
    assert batch.tgt_out_N.tolist() == [4, 3, 2, 4, 2, 4, 2]
    assert batch.tgt_in.unsorted_indices_B is None


def test_batch_counts_words_with_their_eos_and_tokens_with_padding():
    batch = make_batch(PAIRS)
    assert (batch.num_sentences, batch.num_tgt_tokens, batch.num_words) == (3, 7, 14)
    assert batch.num_padded_tokens == 3 * 3 + 4 * 3
    assert batch.src.unique_U.dtype is batch.tgt_out_N.dtype is torch.int64


def test_collate_makes_the_same_batch_from_shards(dataset):
    batch = collate(dataset, np.array([0, 1, 2]))
    expected = make_batch(PAIRS)
    assert batch.pair_ids.tolist() == expected.pair_ids.tolist()
    for a, b in ((batch.src, expected.src), (batch.tgt_in, expected.tgt_in)):
        assert a.batch_sizes == b.batch_sizes
        assert torch.equal(a.unique_U, b.unique_U)
        assert torch.equal(a.inverse_N, b.inverse_N)
    assert torch.equal(batch.tgt_out_N, expected.tgt_out_N)


def test_a_local_batch_has_its_own_tokens_and_the_global_batchs_unique_ids(dataset):
    local = collate_local(dataset, np.array([1]), global_ids=np.array([0, 1]))
    assert local.pair_ids.tolist() == [1]
    assert unpack(local.src) == [[6, 7, 2]]
    assert unpack(local.tgt_in) == [[EOS]]
    assert local.src.unique_U.tolist() == [2, 5, 6, 7]
    assert local.tgt_in.unique_U.tolist() == [2, 3]


def test_a_batch_on_the_cpu_is_not_copied():
    batch = make_batch(PAIRS)
    moved = batch.to(torch.device("cpu"))
    assert moved.src.unique_U is batch.src.unique_U
    assert moved.tgt_out_N is batch.tgt_out_N

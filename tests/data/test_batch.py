import numpy as np
import torch

from pipelines.artifacts.shards import write_shard
from pipelines.artifacts.vocab import EOS
from pipelines.data.batch import collate, lay_out, make_batch
from pipelines.data.dataset import ParallelDataset

PAIRS = [([5, 2], [3, 2]), ([6, 7, 2], [2]), ([8, 2], [4, 4, 4, 2])]


def unfold(sequences):
    """The sentences again, in their order."""
    tokens = sequences.tokens_N.tolist()
    lanes: list[list[int]] = []
    for size in sequences.sizes:
        step, tokens = tokens[:size], tokens[size:]
        lanes += [[] for _ in range(size - len(lanes))]
        for lane, token in zip(lanes, step, strict=False):
            lane.append(token)
    assert not tokens
    places = range(len(lanes)) if sequences.lane_B is None else sequences.lane_B
    return [lanes[place] for place in places]


def test_sentences_lie_step_by_step_longest_first():
    laid = lay_out([[5, 2], [6, 7, 2], [8, 2]])
    assert laid.sizes == (3, 3, 1)
    assert laid.tokens_N.tolist() == [6, 5, 8, 7, 2, 2, 2]
    assert laid.types_U.tolist() == [2, 5, 6, 7, 8]
    assert laid.lane_B is not None
    assert laid.lane_B.tolist() == [1, 0, 2]
    assert unfold(laid) == [[5, 2], [6, 7, 2], [8, 2]]


def test_sentences_of_one_length_stay_in_order():
    laid = lay_out([[5, 2], [6, 2]])
    assert laid.lane_B is None
    assert laid.tokens_N.tolist() == [5, 6, 2, 2]


def test_batch_has_the_longest_target_first_and_the_decoder_reads_eos_first():
    batch = make_batch(PAIRS)
    assert batch.numbers.tolist() == [2, 0, 1]
    assert unfold(batch.src) == [[8, 2], [5, 2], [6, 7, 2]]
    assert unfold(batch.tgt_in) == [[EOS, 4, 4, 4], [EOS, 3], [EOS]]
    assert batch.tgt_out_N.tolist() == [4, 3, 2, 4, 2, 4, 2]
    assert batch.tgt_in.lane_B is None


def test_batch_counts_words_with_their_eos_and_what_padding_would_have_added():
    batch = make_batch(PAIRS)
    assert (batch.num_sentences, batch.num_tgt_tokens, batch.num_words) == (3, 7, 14)
    assert batch.num_padded_tokens == 3 * 3 + 4 * 3
    assert batch.src.types_U.dtype is batch.tgt_out_N.dtype is torch.int64


def test_collate_makes_the_same_batch_from_shards(tmp_path):
    src, tgt = zip(*PAIRS, strict=True)
    write_shard(tmp_path / "train.00000.safetensors", src, tgt, metadata={})
    found = collate(ParallelDataset.open(tmp_path, "train"), np.array([0, 1, 2]))
    wanted = make_batch(PAIRS)
    assert found.numbers.tolist() == wanted.numbers.tolist()
    for a, b in ((found.src, wanted.src), (found.tgt_in, wanted.tgt_in)):
        assert a.sizes == b.sizes
        assert torch.equal(a.types_U, b.types_U)
        assert torch.equal(a.places_N, b.places_N)
    assert torch.equal(found.tgt_out_N, wanted.tgt_out_N)

import threading

import numpy as np
import pytest
import torch

from pipelines.artifacts.shards import write_shard
from pipelines.data.batch import collate
from pipelines.data.dataset import ParallelDataset
from pipelines.data.loader import Loader

CPU = torch.device("cpu")


@pytest.fixture
def dataset(tmp_path):
    src = [[3 + n % 5, 2] for n in range(7)]
    tgt = [[4] * (n % 3) + [2] for n in range(7)]
    write_shard(tmp_path / "train.00000.safetensors", src, tgt, metadata={})
    return ParallelDataset.open(tmp_path, "train")


def epoch_batches(epoch):
    """Batches of 3, 3 and 1 pairs, in another order in each epoch."""
    order = np.roll(np.arange(7), epoch)
    return [order[:3], order[3:6], order[6:]]


def load(dataset, count, *, epoch=0, start=0, **ranks):
    with Loader(dataset, epoch_batches, device=CPU, **ranks) as loader:
        batches = loader.batches(epoch, start)
        return [next(batches) for _ in range(count)]


def test_epochs_follow_each_other(dataset):
    batches = load(dataset, 7)
    expected = [*epoch_batches(0), *epoch_batches(1), epoch_batches(2)[0]]
    for loaded, pair_ids in zip(batches, expected, strict=True):
        assert loaded.pair_ids.tolist() == pair_ids.tolist()
        assert sorted(loaded.batch.pair_ids) == sorted(pair_ids)
    assert [b.ends_epoch for b in batches] == [False, False, True] * 2 + [False]


def test_loading_can_start_at_any_batch(dataset):
    whole = load(dataset, 9)
    for epoch, start in ((0, 2), (1, 1), (2, 0)):
        (loaded,) = load(dataset, 1, epoch=epoch, start=start)
        assert loaded.pair_ids.tolist() == whole[3 * epoch + start].pair_ids.tolist()


def test_local_batches_partition_each_global_batch_and_have_its_totals(dataset):
    ranks = [load(dataset, 3, rank=rank, num_ranks=2) for rank in (0, 1)]
    for one, two, pair_ids in zip(*ranks, epoch_batches(0), strict=True):
        local = [n for b in (one, two) if b.weight for n in b.batch.pair_ids]
        assert sorted(local) == sorted(pair_ids.tolist())
        assert one.num_tgt_tokens == dataset.tgt_lengths[pair_ids].sum()
        assert one.num_words == two.num_words
    assert [b.weight for b in ranks[1]] == [1.0, 1.0, 0.0]  # one pair, two processes


def test_local_batches_have_the_unique_ids_of_the_global_batch(dataset):
    """So that their embedding gradients have the same rows."""
    single = load(dataset, 3)
    ranks = [load(dataset, 3, rank=rank, num_ranks=2) for rank in (0, 1)]
    for whole, *parts in zip(single, *ranks, strict=True):
        for side in ("src", "tgt_in"):
            unique = getattr(whole.batch, side).unique_U
            for part in parts:
                assert torch.equal(getattr(part.batch, side).unique_U, unique)
        for part in parts:
            own = collate(dataset, part.batch.pair_ids)
            assert torch.equal(part.batch.src.tokens_N, own.src.tokens_N)
            assert torch.equal(part.batch.tgt_in.tokens_N, own.tgt_in.tokens_N)


def test_an_error_in_the_thread_is_raised_to_the_caller(dataset):
    def broken(epoch):
        raise OSError("the disk is gone")

    with (
        Loader(dataset, broken, device=CPU) as loader,
        pytest.raises(OSError, match="the disk is gone"),
    ):
        next(loader.batches(0, 0))


def test_the_thread_ends_with_the_loader(dataset):
    load(dataset, 1)
    assert "loader" not in {thread.name for thread in threading.enumerate()}

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


def plan(epoch):
    """Batches of 3, 3 and 1 pairs, another order in each epoch."""
    order = np.roll(np.arange(7), epoch)
    return [order[:3], order[3:6], order[6:]]


def take(dataset, count, *, epoch=0, start=0, **share):
    with Loader(dataset, plan, device=CPU, **share) as loader:
        batches = loader.batches(epoch, start)
        return [next(batches) for _ in range(count)]


def test_epochs_follow_each_other(dataset):
    found = take(dataset, 7)
    wanted = [*plan(0), *plan(1), plan(2)[0]]
    for planned, numbers in zip(found, wanted, strict=True):
        assert planned.numbers.tolist() == numbers.tolist()
        assert sorted(planned.batch.numbers) == sorted(numbers)
    assert [p.ends_epoch for p in found] == [False, False, True] * 2 + [False]


def test_any_position_can_be_taken_up(dataset):
    whole = take(dataset, 9)
    for epoch, start in ((0, 2), (1, 1), (2, 0)):
        (found,) = take(dataset, 1, epoch=epoch, start=start)
        assert found.numbers.tolist() == whole[3 * epoch + start].numbers.tolist()


def test_processes_share_each_batch_and_know_what_all_have(dataset):
    shares = [take(dataset, 3, rank=rank, num_ranks=2) for rank in (0, 1)]
    for one, two, numbers in zip(*shares, plan(0), strict=True):
        own = [n for p in (one, two) if p.weight for n in p.batch.numbers]
        assert sorted(own) == sorted(numbers.tolist())
        assert one.num_tgt_tokens == dataset.tgt_lengths[numbers].sum()
        assert one.num_words == two.num_words
    assert [p.weight for p in shares[1]] == [1.0, 1.0, 0.0]  # one pair, two processes


def test_processes_name_the_words_of_the_whole_batch(dataset):
    """So that the rows of their embedding gradients are the same."""
    alone = take(dataset, 3)
    shares = [take(dataset, 3, rank=rank, num_ranks=2) for rank in (0, 1)]
    for whole, *parts in zip(alone, *shares, strict=True):
        for side in ("src", "tgt_in"):
            types = getattr(whole.batch, side).types_U
            for part in parts:
                assert torch.equal(getattr(part.batch, side).types_U, types)
        for part in parts:
            own = collate(dataset, part.batch.numbers)
            assert torch.equal(part.batch.src.tokens_N, own.src.tokens_N)
            assert torch.equal(part.batch.tgt_in.tokens_N, own.tgt_in.tokens_N)


def test_what_fails_in_the_thread_is_raised_where_it_is_waited_for(dataset):
    def broken(epoch):
        raise OSError("the disk is gone")

    with (
        Loader(dataset, broken, device=CPU) as loader,
        pytest.raises(OSError, match="the disk is gone"),
    ):
        next(loader.batches(0, 0))


def test_no_thread_stays_behind(dataset):
    take(dataset, 1)
    assert "loader" not in {thread.name for thread in threading.enumerate()}

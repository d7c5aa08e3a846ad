import time

import pytest
import torch
from torch import nn

from pipelines.distributed.process_group import (
    AsyncAllReduceMax,
    DistributedContext,
    GradientAllReduce,
    process_group,
)
from tests.distributed.two_processes import run_in_two_processes


def test_without_torchruns_environment_there_is_one_process(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with process_group("cpu") as distributed:
        assert (distributed.rank, distributed.size) == (0, 1)
        assert distributed.is_main_process
        assert distributed.cpu_group is None


def test_collective_operations_of_one_process_return_its_own_values():
    distributed = DistributedContext()
    tensor = torch.tensor([1.0, 2.0])
    assert distributed.all_reduce_sum(tensor) is tensor
    assert distributed.all_reduce_max(3, 0.5) == [3, 0.5]
    assert distributed.broadcast_object({"a": 1}) == {"a": 1}
    distributed.broadcast([tensor])
    assert tensor.tolist() == [1.0, 2.0]
    maxima = AsyncAllReduceMax(distributed)
    assert maxima.exchange(1, 0.5) == [1, 0.5]
    assert maxima.wait() is None


def collective_operations(distributed, folder):
    rank = distributed.rank
    tensor = torch.tensor([1.0, rank])
    distributed.broadcast([tensor])
    return {
        "main": distributed.is_main_process,
        "sum": distributed.all_reduce_sum(torch.tensor([1.0, rank])).tolist(),
        "max": distributed.all_reduce_max(rank, 1 - rank, 0.5),
        "object": distributed.broadcast_object(f"of rank {rank}"),
        "broadcast": tensor.tolist(),
    }


@pytest.mark.slow
def test_collective_operations_agree_in_all_processes(tmp_path):
    expected = {
        "sum": [2.0, 1.0],
        "max": [1, 1, 0.5],
        "object": "of rank 0",
        "broadcast": [1.0, 0.0],
    }
    assert run_in_two_processes(collective_operations, tmp_path) == [
        expected | {"main": True},
        expected | {"main": False},
    ]


def exchange_maxima(distributed, folder):
    """Exchange values; rank 1 begins when rank 0 has returned from its first call."""
    returned, maxima = folder / "returned", AsyncAllReduceMax(distributed)
    deadline = time.monotonic() + 20
    while (
        distributed.rank == 1 and not returned.exists() and time.monotonic() < deadline
    ):
        time.sleep(0.01)
    in_time = distributed.rank == 0 or returned.exists()
    first = maxima.exchange(distributed.rank, 1 - distributed.rank, 0.5)
    returned.touch()
    second = maxima.exchange(7, 0, 0)
    return in_time, first, second, maxima.wait(), maxima.wait()


@pytest.mark.slow
def test_maxima_come_one_call_late_and_no_process_waits(tmp_path):
    expected = (True, [0, 0, 0], [1, 1, 0.5], [7, 0, 0], None)
    assert run_in_two_processes(exchange_maxima, tmp_path) == [expected, expected]


def sum_gradients(distributed, folder):
    """Two backward passes whose gradients come in another order in each process."""
    first, second = (nn.Parameter(torch.ones(2)) for _ in range(2))
    table = nn.Parameter(torch.zeros(4, 2))
    all_reduce = GradientAllReduce(distributed, [first, second, table])
    results = []
    for scale in (1.0, 10.0):
        for parameter in (first, second, table):
            parameter.grad = None
        factor = scale * (distributed.rank + 1)
        inner, outer = (first, second) if distributed.rank else (second, first)
        rows = nn.functional.embedding(torch.tensor([1, 3]), table, sparse=True)
        (factor * (outer * (inner + rows).sum(0)).sum()).backward()
        all_reduce.wait()
        gradients = [p.grad for p in (first, second, table) if p.grad is not None]
        results.append([gradient.to_dense().tolist() for gradient in gradients])
    return results


@pytest.mark.slow
def test_gradients_are_summed_in_every_backward_pass(tmp_path):
    # Twice each factor: two rows are added to the inner parameter.
    one = [[6.0, 6.0], [6.0, 6.0], [[0.0] * 2, [3.0] * 2, [0.0] * 2, [3.0] * 2]]
    ten = [[60.0] * 2, [60.0] * 2, [[0.0] * 2, [30.0] * 2, [0.0] * 2, [30.0] * 2]]
    assert run_in_two_processes(sum_gradients, tmp_path) == [[one, ten]] * 2

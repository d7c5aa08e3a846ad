"""How large batches are."""

import pytest
import torch

from pipelines.search.batch_execution import limit_batch_size


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("num_items", "expected"), [(0, 16), (1, 16), (130, 17), (1000, 125), (9000, 768)]
)
def test_each_thread_gets_several_batches(two_threads, num_items, expected):
    assert limit_batch_size(768, num_items, device=torch.device("cpu")) == expected


def test_few_at_once_stay_few():
    assert limit_batch_size(3, 1000, device=torch.device("cpu")) == 3


def test_a_gpu_takes_all_it_can():
    assert limit_batch_size(8192, 100, device=torch.device("cuda")) == 8192

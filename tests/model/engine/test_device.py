import pytest
import torch

from pipelines.errors import UsageError
from pipelines.model.engine.device import (
    choose_device,
    cpu_for_training,
    describe,
    free_memory_bytes,
    is_out_of_memory,
    use_threads,
)


@pytest.mark.parametrize(
    ("name", "num_gpus", "expected"),
    [
        ("auto", 0, "cpu"),
        ("auto", 2, "cuda"),
        ("cpu", 2, "cpu"),
        ("cuda", 1, "cuda"),
        ("cuda:1", 2, "cuda:1"),
    ],
)
def test_the_device_of_a_name(monkeypatch, name, num_gpus, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: num_gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: num_gpus)
    assert str(choose_device(name)) == expected


@pytest.mark.parametrize(("name", "num_gpus"), [("cuda", 0), ("cuda:2", 2)])
def test_a_missing_gpu_is_refused(monkeypatch, name, num_gpus):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: num_gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: num_gpus)
    with pytest.raises(UsageError, match=f"{num_gpus} GPUs found"):
        choose_device(name)


def test_threads_are_set_only_when_asked():
    before = torch.get_num_threads()
    use_threads(0)
    assert torch.get_num_threads() == before
    use_threads(2)
    assert describe(torch.device("cpu")) == "CPU, 2 threads"
    use_threads(1)
    assert describe(torch.device("cpu")) == "CPU, 1 thread"
    use_threads(before)


def test_denormal_numbers_are_zero_in_training_only():
    denormal = torch.tensor(1e-30)
    with cpu_for_training(0):
        assert (denormal * 1e-10).item() == 0.0
    assert (denormal * 1e-10).item() > 0.0


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("shapes cannot be multiplied"), False),
    ],
)
def test_errors_of_both_devices_say_that_memory_ran_out(error, expected):
    assert is_out_of_memory(error) == expected


def test_free_memory_of_a_cpu_is_positive_where_it_is_known():
    free_bytes = free_memory_bytes(torch.device("cpu"))
    assert free_bytes is None or free_bytes > 0

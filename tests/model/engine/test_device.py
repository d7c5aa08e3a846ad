import pytest
import torch

from pipelines.errors import UsageError
from pipelines.model.engine.device import choose_device, describe, use_threads


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
def test_devices(monkeypatch, name, num_gpus, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: num_gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: num_gpus)
    assert str(choose_device(name)) == expected


@pytest.mark.parametrize(("name", "num_gpus"), [("cuda", 0), ("cuda:2", 2)])
def test_a_gpu_that_is_not_there_is_refused(monkeypatch, name, num_gpus):
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

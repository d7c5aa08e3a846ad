import torch

from pipelines.model.engine.arithmetic import describe_arithmetic, differences
from tests.engines import CPU


def test_the_arithmetic_of_a_cpu_names_its_threads():
    arithmetic = describe_arithmetic("bf16 by onednn", CPU)
    assert arithmetic["device"] == "cpu"
    assert arithmetic["precision"] == "bf16"
    assert arithmetic["matmul"] == "bf16 by onednn"
    assert arithmetic["threads"] == str(torch.get_num_threads())
    assert torch.__version__.startswith(arithmetic["torch"].split("+")[0])
    assert arithmetic["processor"]


def test_the_arithmetic_of_a_gpu_names_it_and_no_threads(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "H100")
    arithmetic = describe_arithmetic("fp32 by torch", torch.device("cuda"))
    assert (arithmetic["device"], arithmetic["processor"]) == ("cuda", "H100")
    assert "threads" not in arithmetic


def test_differences_name_what_changed_was_added_or_is_missing():
    before = {"threads": "1", "torch": "2.13", "lstm": "own"}
    now = {"threads": "2", "torch": "2.13", "processes": "4"}
    assert differences(before, now) == [
        "lstm own -> unknown",
        "processes unknown -> 4",
        "threads 1 -> 2",
    ]
    assert differences(now, now) == []

"""The library and the precision of each processor."""

import pytest
import torch

from pipelines.errors import UsageError
from pipelines.model.engine import precision as module
from pipelines.model.engine.packed_linear import choose_linear
from pipelines.model.engine.precision import (
    Backend,
    choose_backend,
    choose_inference_backend,
    choose_precision,
    tf32_switched,
)

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def processor(monkeypatch, *, name="Intel", onednn=True, **instructions):
    flags = {"cpu_name": name, **instructions}
    monkeypatch.setattr(module, "capabilities", lambda: flags)
    monkeypatch.setattr(module, "has_onednn", lambda: onednn)


@pytest.mark.parametrize(
    ("known", "wanted", "expected"),
    [
        ({}, "auto", Backend("torch+onednn", "fp32")),
        ({}, "bf16", Backend("torch+onednn", "bf16", emulated=True)),
        ({"name": "AMD EPYC"}, "auto", Backend("onednn", "fp32")),
        ({"name": "AMD EPYC"}, "bf16", Backend("onednn", "bf16", emulated=True)),
        ({"avx512_bf16": True}, "auto", Backend("onednn", "bf16")),
        ({"avx512_bf16": True}, "fp32", Backend("torch+onednn", "fp32")),
        ({"amx_bf16": True}, "bf16", Backend("onednn", "bf16")),
        (
            {"name": "AMD EPYC", "avx512_bf16": True, "onednn": False},
            "bf16",
            Backend("torch", "bf16", emulated=True),
        ),
        ({"onednn": False}, "fp32", Backend("torch", "fp32")),
    ],
    ids=str,
)
def test_the_library_and_precision_of_a_cpu(monkeypatch, known, wanted, expected):
    processor(monkeypatch, **known)
    assert choose_backend(wanted, CPU) == expected


@pytest.mark.parametrize(
    ("has_bf16", "wanted", "expected"),
    [
        (True, "auto", "bf16"),
        (False, "auto", "fp32"),  # Volta, Turing: neither bf16 nor TF32
        (False, "bf16", "bf16"),
        (True, "tf32", "tf32"),
        (True, "fp32", "fp32"),
    ],
)
def test_the_precision_of_a_gpu(monkeypatch, has_bf16, wanted, expected):
    asked = []

    def supported(*, including_emulation):
        asked.append(including_emulation)
        return has_bf16

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert choose_precision(wanted, GPU) == expected
    assert choose_backend(wanted, GPU) == Backend("torch", expected)
    assert not any(asked)


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({}, Backend("onednn", "fp32")),
        ({"name": "AMD EPYC"}, Backend("onednn", "fp32")),
        ({"onednn": False}, Backend("torch", "fp32")),
    ],
    ids=str,
)
def test_inference_on_a_cpu_is_by_onednn_where_there_is_one(
    monkeypatch, known, expected
):
    processor(monkeypatch, **known)
    assert choose_inference_backend("auto", CPU) == expected


def test_inference_on_a_gpu_is_by_torch():
    assert choose_inference_backend("fp32", GPU) == Backend("torch", "fp32")


@pytest.mark.parametrize("precision", ["int8", "tf32"])
def test_a_precision_that_the_cpu_lacks_is_refused(precision, monkeypatch):
    processor(monkeypatch)
    with pytest.raises(UsageError, match=precision):
        choose_linear(precision, CPU)


@pytest.mark.parametrize("known", [{"avx512_bf16": False}, {"avx512_bf16": True}])
def test_capabilities_of_an_older_torch(monkeypatch, known):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    for name, answer in (
        ("_is_avx512_bf16_supported", known["avx512_bf16"]),
        ("_is_vnni_supported", True),
    ):
        monkeypatch.setattr(torch.cpu, name, lambda answer=answer: answer)
    assert module.has_fast_bf16() == known["avx512_bf16"]
    assert module.has_fast_int8()


def switches():
    both = torch.backends.cuda.matmul, torch.backends.cudnn.rnn
    return [switch.fp32_precision for switch in both]


@pytest.mark.parametrize(("precision", "inside"), [("fp32", "ieee"), ("tf32", "tf32")])
def test_tf32_is_switched_inside_the_block_only(precision, inside):
    before = switches()
    backend = Backend("torch", precision)
    with tf32_switched(backend, CPU):
        assert switches() == before
    with tf32_switched(backend, GPU):
        assert switches() == [inside, inside]
    assert switches() == before
    with pytest.raises(ZeroDivisionError), tf32_switched(backend, GPU):
        raise ZeroDivisionError
    assert switches() == before


def test_choosing_a_precision_switches_nothing(monkeypatch):
    before = switches()
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    for precision in ("fp32", "tf32", "bf16", "auto"):
        choose_linear(precision, GPU)
    assert switches() == before


def test_a_backend_describes_itself():
    assert str(Backend("onednn", "bf16")) == "bf16 by onednn"
    emulated = Backend("torch", "bf16", emulated=True)
    assert str(emulated) == "bf16 by torch, emulated in float32"
    assert emulated.dtype is torch.float32
    assert Backend("torch", "bf16").dtype is torch.bfloat16

"""Precisions, and the library that multiplies in each of them on each processor.

Chosen here for the matmuls of training (`matmul`) and of inference (`packed_linear`,
which adds int8). The choice depends on the processor and never on a clock, so a resumed
training computes the same bits on the same machine.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from pipelines.errors import UsageError

Precision = Literal["auto", "fp32", "tf32", "bf16"]
"""A precision in the settings."""
FloatPrecision = Literal["fp32", "tf32", "bf16"]
"""A precision that `auto` resolves to."""
Library = Literal["torch", "onednn", "torch+onednn"]
"""torch: its own matmuls, by MKL on a CPU and cuBLAS on a GPU. onednn: all by oneDNN.
torch+onednn: large ones by torch, those of one time step by oneDNN with packed
weights."""


@dataclass(frozen=True, slots=True)
class Backend:
    """A library of matmuls and the precision of their operands."""

    library: Library
    precision: FloatPrecision
    emulated: bool = False
    """bf16 only: operands and results are rounded to bfloat16 and held in float32."""

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of operands and results."""
        native = self.precision == "bf16" and not self.emulated
        return torch.bfloat16 if native else torch.float32

    def cast(self, tensor: Tensor) -> Tensor:
        """Round to the precision of an operand, in `dtype`."""
        if self.emulated:
            return tensor.bfloat16().float()
        return tensor.to(self.dtype)

    def __str__(self) -> str:
        suffix = ", emulated in float32" if self.emulated else ""
        return f"{self.precision} by {self.library}{suffix}"


def choose_precision(wanted: Precision, device: torch.device) -> FloatPrecision:
    """Resolve auto to bf16 where the device multiplies it in hardware, else to fp32.

    GPUs before Ampere (Volta, Turing) emulate bf16 and have no TF32: fp32 there.

    Raises:
        UsageError: The device does not support the precision.
    """
    on_gpu = device.type == "cuda"
    if wanted == "tf32" and not on_gpu:
        raise UsageError(
            "precision tf32 is for GPUs; this device is a CPU",
            hint="fp32, bf16 or auto",
        )
    if wanted != "auto":
        return wanted
    if on_gpu:
        is_fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        is_fast = has_fast_bf16()
    return "bf16" if is_fast else "fp32"


def choose_backend(wanted: Precision, device: torch.device) -> Backend:
    """Choose the library and the precision of training for a device.

    On a CPU, float32 is fast in MKL on Intel's processors and in oneDNN on others, and
    bfloat16 in oneDNN. A CPU without bfloat16 instructions would take four times as
    long as in float32, so bf16 is emulated there.

    Raises:
        UsageError: The device does not support the precision.
    """
    precision = choose_precision(wanted, device)
    if device.type != "cpu":
        return Backend("torch", precision)
    library: Library = "onednn"
    if not has_onednn():
        library = "torch"
    elif "Intel" in processor_name(device):
        library = "torch+onednn"
    if precision != "bf16":
        return Backend(library, precision)
    if has_onednn() and has_fast_bf16():
        return Backend("onednn", "bf16")
    return Backend(library, "bf16", emulated=True)


def choose_inference_backend(wanted: Precision, device: torch.device) -> Backend:
    """Choose the library and the precision of inference for a device.

    oneDNN, where there is one, computes all matmuls: the bits of a row of MKL's depend
    on the other rows.

    Raises:
        UsageError: The device does not support the precision.
    """
    backend = choose_backend(wanted, device)
    return backend if backend.library == "torch" else replace(backend, library="onednn")


@contextmanager
def tf32_switched(backend: Backend, device: torch.device) -> Iterator[None]:
    """Switch TF32 on or off for the matmuls inside the block, then restore it.

    TF32 lets a GPU drop the last 13 bits of float32 operands. It is off for fp32. The
    switches are torch's and global; a CPU has none.
    """
    if device.type != "cuda":
        yield
        return
    switches: tuple[Any, ...] = torch.backends.cuda.matmul, torch.backends.cudnn.rnn
    before = [switch.fp32_precision for switch in switches]
    for switch in switches:
        switch.fp32_precision = "tf32" if backend.precision == "tf32" else "ieee"
    try:
        yield
    finally:
        for switch, value in zip(switches, before, strict=True):
            switch.fp32_precision = value


def has_fast_bf16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware."""
    flags = capabilities()
    return any(flags.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def has_fast_int8() -> bool:
    """Whether this CPU multiplies 8-bit integers in hardware."""
    flags = capabilities()
    return any(flags.get(name) for name in ("avx512_vnni", "avx_vnni", "amx_int8"))


def has_onednn() -> bool:
    """Whether this torch was built with oneDNN."""
    is_available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return is_available


def capabilities() -> Mapping[str, Any]:
    """Name and instruction sets of this CPU."""
    if not hasattr(torch.cpu, "get_capabilities"):  # torch 2.11
        return {
            "avx512_bf16": torch.cpu._is_avx512_bf16_supported(),
            "avx512_vnni": torch.cpu._is_vnni_supported(),
        }
    flags: Mapping[str, Any] = torch.cpu.get_capabilities()
    return flags


def processor_name(device: torch.device) -> str:
    """Name of the device's processor, a GPU or the CPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return str(capabilities().get("cpu_name", "unknown"))

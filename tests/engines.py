"""Every engine that can be built on this machine, on any processor."""

import torch

from pipelines.model.engine import matmul as matmul_module
from pipelines.model.engine import precision
from pipelines.model.engine.matmul import Matmul
from pipelines.model.engine.packed_linear import (
    FloatLinearFactory,
    Int8LinearFactory,
    LinearFactory,
)
from pipelines.model.engine.precision import (
    Backend,
    Library,
    has_fast_int8,
    has_onednn,
)

CPU = torch.device("cpu")

_LIBRARIES: list[Library] = ["torch"]
if has_onednn():
    _LIBRARIES += ["onednn", "torch+onednn"]
BACKENDS = {
    str(backend): backend
    for library in _LIBRARIES
    for backend in (
        Backend(library, "fp32"),
        Backend(library, "bf16"),
        Backend(library, "bf16", emulated=True),
    )
    # Native bf16 by both libraries is never chosen.
    if not (library == "torch+onednn" and backend.dtype is torch.bfloat16)
}
"""oneDNN multiplies bf16 on any CPU, slowly without instructions for it."""
FP32 = {name: b for name, b in BACKENDS.items() if b.precision == "fp32"}
BF16 = {name: b for name, b in BACKENDS.items() if b.precision == "bf16"}

MATMUL = Matmul(Backend("torch", "fp32"))
"""For tests that are about something else."""

LINEARS: dict[str, LinearFactory] = {
    name: FloatLinearFactory(backend)
    for name, backend in BACKENDS.items()
    if backend.library != "torch+onednn"  # for training only
}
if has_fast_int8():
    LINEARS["int8"] = Int8LinearFactory()
ROW_INDEPENDENT = {
    n: linear for n, linear in LINEARS.items() if linear.row_multiple > 1
}
"""Those that give a row the same bits whatever the other rows."""


PROCESSORS = {
    "Intel": {"cpu_name": "Intel Xeon"},
    "Intel with bf16": {"cpu_name": "Intel Xeon", "amx_bf16": True},
    "AMD": {"cpu_name": "AMD EPYC"},
    "AMD with bf16": {"cpu_name": "AMD EPYC", "avx512_bf16": True},
    "no oneDNN": {"cpu_name": "AMD EPYC", "avx512_bf16": True},
}


def pretend(monkeypatch, processor):
    """Choose engines as on another processor; oneDNN computes the same on each."""
    monkeypatch.setattr(precision, "capabilities", lambda: PROCESSORS[processor])
    if processor == "no oneDNN":
        monkeypatch.setattr(precision, "has_onednn", lambda: False)


def always_pack(monkeypatch):
    """Pack tiny weights as large ones are packed."""
    monkeypatch.setattr(matmul_module, "_PACK_WEIGHTS", 0)
    monkeypatch.setattr(matmul_module, "_PACK_USES", 1)

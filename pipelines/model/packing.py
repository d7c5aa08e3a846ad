"""Weights laid out once for products that only go forward, in a precision.

Training lays weights out for every update; translation uses the same ones millions of
times and can afford more. Every product here gives a row the same bits whatever other
rows stand beside it, which is why a translation does not depend on its batch.

Shapes: N rows, I inputs, J outputs of a product with weights [J, I].
"""

from collections.abc import Callable
from typing import Literal, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from pipelines.errors import UsageError
from pipelines.model.precision import Precision as TrainingPrecision
from pipelines.model.precision import choose_precision
from pipelines.model.products import capabilities, has_fast_bf16

Precision = TrainingPrecision | Literal["int8"]

Product = Callable[[Tensor], Tensor]
"""Operand [N, I] -> float32 [N, J], new memory."""

_STEPS = 127
"""int8 values on each side of zero."""


class Packing(Protocol):
    """How weights and operands are held, and what multiplies them."""

    row_multiple: int
    """Rows come in multiples of this: a library plans anew for each number of rows."""

    def operand(self, rows_NI: Tensor) -> Tensor:
        """Rows with values in [-1, 1] in the form that a `Product` takes."""
        ...

    def pack(self, weight_JI: Tensor, bias_J: Tensor | None) -> Product:
        """Lay weights out for operands."""
        ...

    def pack_unbounded(self, weight_JI: Tensor, bias_J: Tensor | None) -> Product:
        """Lay weights out for float32 rows with values of any size."""
        ...


class _Library:
    """torch's own products, for a GPU, or a CPU whose torch has no oneDNN.

    Args:
        dtype: Of operands.
    """

    row_multiple = 1

    def __init__(self, dtype: torch.dtype) -> None:
        self._dtype = dtype

    def operand(self, rows_NI: Tensor) -> Tensor:
        return rows_NI.to(self._dtype)

    def pack(self, weight_JI: Tensor, bias_J: Tensor | None) -> Product:
        weight = self.operand(weight_JI)
        bias = None if bias_J is None else self.operand(bias_J)
        return lambda rows: F.linear(rows, weight, bias).float()

    def pack_unbounded(self, weight_JI: Tensor, bias_J: Tensor | None) -> Product:
        product = self.pack(weight_JI, bias_J)
        return lambda rows: product(self.operand(rows))


class _OneDNN(_Library):
    """oneDNN's products with weights in blocks."""

    row_multiple = 16

    def pack(self, weight_JI: Tensor, bias_J: Tensor | None) -> Product:
        weight = torch.ops.mkldnn._reorder_linear_weight(self.operand(weight_JI), None)
        bias = None if bias_J is None else self.operand(bias_J)
        multiply = torch.ops.mkldnn._linear_pointwise
        return lambda rows: multiply(rows, weight, bias, "none", [], "").float()


class _Rounded(_OneDNN):
    """bfloat16's rounding, float32's products: faster where the hardware lacks it."""

    def __init__(self) -> None:
        super().__init__(torch.float32)

    def operand(self, rows_NI: Tensor) -> Tensor:
        return rows_NI.bfloat16().float()


class _Int8:
    """Eight bits: a scale for each output, and one step of 1/127 for all operands.

    An LSTM's output lies in [-1, 1], so that its step need not follow the data, and no
    row depends on another. Sums are exact, in 32 bits.
    """

    row_multiple = 16

    def operand(self, rows_NI: Tensor) -> Tensor:
        # The zero is at 128, for instructions that take unsigned operands.
        return rows_NI.mul(_STEPS).add_(128.5).to(torch.uint8)

    def pack(self, weight_JI: Tensor, bias_J: Tensor | None) -> Product:
        scale_J = weight_JI.abs().amax(1).clamp(min=1e-20).div(_STEPS)
        steps = weight_JI.div(scale_J[:, None]).round_().to(torch.int8)
        weight = torch.ops.onednn.qlinear_prepack(steps, None)
        zeros_J = torch.zeros(len(scale_J), dtype=torch.int64)
        multiply = torch.ops.onednn.qlinear_pointwise

        def apply(rows_NI: Tensor) -> Tensor:
            scale, zero, as_it_is = 1 / _STEPS, 128, (1.0, 0, torch.float32)
            found: Tensor = multiply(
                rows_NI,
                scale,
                zero,
                weight,
                scale_J,
                zeros_J,
                bias_J,
                *as_it_is,
                "none",
                [],
                "",
            )
            return found

        return apply

    def pack_unbounded(self, weight_JI: Tensor, bias_J: Tensor | None) -> Product:
        product = self.pack(weight_JI, None)

        def apply(rows_NI: Tensor) -> Tensor:
            largest_N1 = rows_NI.abs().amax(1, keepdim=True).clamp_(min=1e-20)
            found = product(self.operand(rows_NI / largest_N1)).mul_(largest_N1)
            return found if bias_J is None else found.add_(bias_J)

        return apply


def choose_packing(wanted: Precision, device: torch.device) -> Packing:
    """The packing for a precision; auto is bf16 where the hardware has it, else fp32.

    Raises:
        UsageError: The device does not know the precision.
    """
    if wanted == "int8":
        return _int8(device)
    precision = choose_precision(wanted, device)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        return _Library(dtype)
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return _Library(dtype)
    if precision == "bf16" and not has_fast_bf16():
        return _Rounded()
    return _OneDNN(dtype)


def _int8(device: torch.device) -> Packing:
    known = capabilities()
    names = ("avx512_vnni", "avx_vnni", "amx_int8")
    if device.type != "cpu" or not any(known.get(name) for name in names):
        raise UsageError(
            "precision int8 needs a CPU with VNNI or AMX instructions",
            hint="--precision auto",
        )
    return _Int8()

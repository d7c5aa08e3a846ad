"""Linear layers for inference: weights packed once, in one precision.

Training packs its weights again after every update; translation uses the same ones
millions of times and can afford more. On a CPU with oneDNN a row gets the same bits
whatever the other rows of the batch, so a translation does not depend on its batch.

Shapes: N rows, I inputs, J outputs of a layer with weights [J, I].
"""

from collections.abc import Callable
from typing import Literal, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from pipelines.errors import UsageError
from pipelines.model.engine.precision import (
    Backend,
    choose_inference_backend,
    has_fast_int8,
    tf32_switched,
)
from pipelines.model.engine.precision import Precision as TrainingPrecision

Precision = TrainingPrecision | Literal["int8"]

Linear = Callable[[Tensor], Tensor]
"""Operand [N, I] -> float32 [N, J], new memory."""

_STEPS = 127
"""int8 values on each side of zero."""


class LinearFactory(Protocol):
    """Builds linear layers of one precision."""

    row_multiple: int
    """Rows come in multiples of this: oneDNN builds a kernel for each new count."""

    def operand(self, rows_NI: Tensor) -> Tensor:
        """Convert rows with values in [-1, 1] to what a `Linear` takes."""
        ...

    def pack(self, weight_JI: Tensor, bias_J: Tensor | None) -> Linear:
        """Build a layer that takes operands."""
        ...

    def pack_unbounded(self, weight_JI: Tensor, bias_J: Tensor | None) -> Linear:
        """Build a layer that takes float32 rows with values of any size."""
        ...


class FloatLinearFactory:
    """Linear layers in floating point.

    Args:
        backend: Library, torch or onednn, and precision.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend, self._packs = backend, backend.library == "onednn"
        self.row_multiple = 16 if self._packs else 1

    def __str__(self) -> str:
        return str(self._backend)

    def operand(self, rows_NI: Tensor) -> Tensor:
        """Round rows to the precision of the layers."""
        return self._backend.cast(rows_NI)

    def pack(self, weight_JI: Tensor, bias_J: Tensor | None) -> Linear:
        """Build a layer that takes operands."""
        weight = self.operand(weight_JI)
        bias = None if bias_J is None else self.operand(bias_J)
        if not self._packs:
            return lambda rows: self._by_torch(rows, weight, bias)
        packed = torch.ops.mkldnn._reorder_linear_weight(weight, None)
        multiply = torch.ops.mkldnn._linear_pointwise
        return lambda rows: multiply(rows, packed, bias, "none", [], "").float()

    def pack_unbounded(self, weight_JI: Tensor, bias_J: Tensor | None) -> Linear:
        """Build a layer that takes float32 rows."""
        layer = self.pack(weight_JI, bias_J)
        return lambda rows: layer(self.operand(rows))

    def _by_torch(self, rows_NI: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        with tf32_switched(self._backend, rows_NI.device):
            return F.linear(rows_NI, weight, bias).float()


class Int8LinearFactory:
    """Linear layers in 8 bits: a scale for each output, steps of 1/127 for operands.

    An LSTM's output lies in [-1, 1], so the scale of operands need not follow the data,
    and no row depends on another. Sums are exact, in 32 bits.
    """

    row_multiple = 16

    def __str__(self) -> str:
        return "int8 by onednn"

    def operand(self, rows_NI: Tensor) -> Tensor:
        """Quantize rows to uint8."""
        # The zero point is 128, for instructions that take unsigned operands.
        return rows_NI.mul(_STEPS).add_(128.5).to(torch.uint8)

    def pack(self, weight_JI: Tensor, bias_J: Tensor | None) -> Linear:
        """Build a layer that takes operands."""
        scale_J = weight_JI.abs().amax(1).clamp(min=1e-20).div(_STEPS)
        steps = weight_JI.div(scale_J[:, None]).round_().to(torch.int8)
        weight = torch.ops.onednn.qlinear_prepack(steps, None)
        zeros_J = torch.zeros(len(scale_J), dtype=torch.int64)
        multiply = torch.ops.onednn.qlinear_pointwise

        def apply(rows_NI: Tensor) -> Tensor:
            quantized = rows_NI, 1 / _STEPS, 128, weight, scale_J, zeros_J
            unscaled = 1.0, 0, torch.float32
            result: Tensor = multiply(*quantized, bias_J, *unscaled, "none", [], "")
            return result

        return apply

    def pack_unbounded(self, weight_JI: Tensor, bias_J: Tensor | None) -> Linear:
        """Build a layer that takes float32 rows, each scaled by its largest value."""
        layer = self.pack(weight_JI, None)

        def apply(rows_NI: Tensor) -> Tensor:
            largest_N1 = rows_NI.abs().amax(1, keepdim=True).clamp_(min=1e-20)
            result = layer(self.operand(rows_NI / largest_N1)).mul_(largest_N1)
            return result if bias_J is None else result.add_(bias_J)

        return apply


def choose_linear(wanted: Precision, device: torch.device) -> LinearFactory:
    """Choose the linear layers of a precision.

    Raises:
        UsageError: The device does not support the precision.
    """
    if wanted != "int8":
        return FloatLinearFactory(choose_inference_backend(wanted, device))
    if device.type != "cpu" or not has_fast_int8():
        raise UsageError(
            "precision int8 needs a CPU with VNNI or AMX instructions",
            hint="--precision auto",
        )
    return Int8LinearFactory()

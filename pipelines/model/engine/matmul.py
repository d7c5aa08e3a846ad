"""Matmuls of training, on one backend; sums are float32.

Shapes: N rows, I inputs, J outputs of a matmul with weights [J, I].
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from pipelines.model.engine.precision import Backend, Precision, choose_backend

_ROW_MULTIPLE = 16
"""Row counts are rounded up to this: oneDNN builds a kernel for each new count."""
_BLOCK_ROWS = 256
_PACK_USES, _PACK_WEIGHTS = 4, 1 << 20
"""Packing costs as much as two matmuls with large weights, twenty with small ones."""


class Matmul:
    """Matmuls whose operands are rounded to the backend's precision.

    Attributes:
        backend: Library and precision.
        dtype: Dtype of operands and results.
    """

    def __init__(self, backend: Backend) -> None:
        self.backend, self.dtype = backend, backend.dtype
        self._steps_by_onednn = backend.library != "torch"
        self._large_by_onednn = backend.library == "onednn"

    def cast(self, tensor: Tensor) -> Tensor:
        """Round to the precision of an operand."""
        return self.backend.cast(tensor)

    def prepare(self, weight_JI: Tensor, num_uses: int) -> Tensor:
        """Cast weights, and pack them where `num_uses` matmuls repay it."""
        weight = self.cast(weight_JI)
        large = weight.numel() >= _PACK_WEIGHTS
        if not (self._steps_by_onednn and large and num_uses >= _PACK_USES):
            return weight
        packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, None)
        return packed

    def linear(self, rows_NI: Tensor, weight: Tensor, bias_J: Tensor | None) -> Tensor:
        """Rows @ weight.T + bias, [N, J]; `weight` as `prepare` returns it."""
        bias = None if bias_J is None else self.cast(bias_J)
        if not (self._large_by_onednn or weight.is_mkldnn):
            return self._rounded(F.linear(rows_NI, weight, bias))
        full = len(rows_NI) - len(rows_NI) % _BLOCK_ROWS
        blocks = [rows for rows in (rows_NI[:full], rows_NI[full:]) if len(rows)]
        results = [self._onednn_linear(rows, weight, bias) for rows in blocks]
        return self._rounded(results[0] if len(results) == 1 else torch.cat(results))

    def accumulate(self, sum_NJ: Tensor, rows_NI: Tensor, weight: Tensor) -> Tensor:
        """Sum + rows @ weight.T, for the rows of one time step.

        May overwrite the sum where rows are not padded; padding rows belong to the
        next step and stay as they are.
        """
        if weight.is_mkldnn:
            total: Tensor = torch.ops.mkldnn._linear_pointwise.binary(
                rows_NI, sum_NJ, weight, None, "add"
            )
            return self._rounded(total)
        if self._steps_by_onednn:
            return self._rounded(torch.addmm(sum_NJ, rows_NI, weight.T))
        return self._rounded(sum_NJ.addmm_(rows_NI, weight.T))

    def weight_gradient(self, grad_NJ: Tensor, rows_NI: Tensor) -> Tensor:
        """Gradient of a linear layer's weight, grad.T @ rows, float32 [J, I]."""
        if not self._large_by_onednn:
            return self._rounded((grad_NJ.T @ rows_NI).float())
        full = len(grad_NJ) - len(grad_NJ) % _BLOCK_ROWS
        total = (grad_NJ[:full].T @ rows_NI[:full]).float()
        if full < len(grad_NJ):
            num_rows = self.padded_rows(len(grad_NJ) - full)
            grad, rows = (_pad_rows(t[full:], num_rows) for t in (grad_NJ, rows_NI))
            total += (grad.T @ rows).float()
        return self._rounded(total)

    def padded_rows(self, num_rows: int) -> int:
        """Row count rounded up so that oneDNN reuses its kernels."""
        if not self._steps_by_onednn:
            return num_rows
        return -(-num_rows // _ROW_MULTIPLE) * _ROW_MULTIPLE

    def _onednn_linear(
        self, rows_NI: Tensor, weight: Tensor, bias: Tensor | None
    ) -> Tensor:
        num_rows = len(rows_NI)
        padded = _pad_rows(rows_NI.contiguous(), self.padded_rows(num_rows))
        result: Tensor = torch.ops.mkldnn._linear_pointwise(
            padded, weight, bias, "none", [], ""
        )
        return result[:num_rows]

    def _rounded(self, result: Tensor) -> Tensor:
        return self.cast(result) if self.backend.emulated else result


def _pad_rows(rows_NI: Tensor, num_rows: int) -> Tensor:
    missing = num_rows - len(rows_NI)
    if not missing:
        return rows_NI
    return torch.cat([rows_NI, rows_NI.new_zeros(missing, rows_NI.shape[1])])


def choose_matmul(wanted: Precision, device: torch.device) -> Matmul:
    """Choose the matmuls of a precision on a device.

    Raises:
        UsageError: The device does not support the precision.
    """
    return Matmul(choose_backend(wanted, device))

"""Matrix products of training, on one backend; sums are float32.

Shapes: N rows, I inputs, J outputs of a product with weights [J, I].
"""

import torch
from torch import Tensor

from pipelines.model.engine.precision import Backend, Precision, choose_backend

_ROW_MULTIPLE = 16
"""Row counts are rounded up to this: oneDNN makes a new kernel for each new one."""
_BLOCK_ROWS = 256
_PACK_USES, _PACK_WEIGHTS = 4, 1 << 20
"""Packing costs about two products of large weights, and twenty of small ones."""


class Matmul:
    """Products whose operands are rounded to the backend's precision.

    Attributes:
        backend: What multiplies.
        dtype: What operands and results are held in.
    """

    def __init__(self, backend: Backend) -> None:
        self.backend, self.dtype = backend, backend.dtype
        self._packs = backend.library != "torch"
        self._large_by_onednn = backend.library == "onednn"

    def cast(self, tensor: Tensor) -> Tensor:
        """Round to the precision of an operand."""
        return self.backend.cast(tensor)

    def prepare(self, weight_JI: Tensor, num_uses: int) -> Tensor:
        """Cast weights, and pack them where `num_uses` products are worth it."""
        weight = self.cast(weight_JI)
        large = weight.numel() >= _PACK_WEIGHTS
        if not (self._packs and large and num_uses >= _PACK_USES):
            return weight
        packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, None)
        return packed

    def apply(self, rows_NI: Tensor, weight: Tensor, bias_J: Tensor | None) -> Tensor:
        """Rows @ weight.T + bias, [N, J], for many rows; `weight` as prepared."""
        bias = None if bias_J is None else self.cast(bias_J)
        if not (self._large_by_onednn or weight.is_mkldnn):
            if bias is None:
                return self._rounded(rows_NI @ weight.T)
            return self._rounded(torch.addmm(bias, rows_NI, weight.T))
        full = len(rows_NI) - len(rows_NI) % _BLOCK_ROWS
        pieces = [rows_NI[:full], rows_NI[full:]]
        done = [self._onednn(piece, weight, bias) for piece in pieces if len(piece)]
        return self._rounded(done[0] if len(done) == 1 else torch.cat(done))

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
        if self._packs:
            return self._rounded(torch.addmm(sum_NJ, rows_NI, weight.T))
        return self._rounded(sum_NJ.addmm_(rows_NI, weight.T))

    def outer(self, left_NJ: Tensor, right_NI: Tensor) -> Tensor:
        """left.T @ right, float32 [J, I]: the gradient of a weight."""
        if not self._large_by_onednn:
            return self._rounded((left_NJ.T @ right_NI).float())
        full = len(left_NJ) - len(left_NJ) % _BLOCK_ROWS
        total = (left_NJ[:full].T @ right_NI[:full]).float()
        if full < len(left_NJ):
            num_rows = self.padded_rows(len(left_NJ) - full)
            left, right = (_pad_rows(t[full:], num_rows) for t in (left_NJ, right_NI))
            total += (left.T @ right).float()
        return self._rounded(total)

    def padded_rows(self, num_rows: int) -> int:
        """Rows that a step should multiply so that kernels are used again."""
        if not self._packs:
            return num_rows
        return -(-num_rows // _ROW_MULTIPLE) * _ROW_MULTIPLE

    def _onednn(self, rows_NI: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        num_rows = len(rows_NI)
        padded = _pad_rows(rows_NI.contiguous(), self.padded_rows(num_rows))
        product: Tensor = torch.ops.mkldnn._linear_pointwise(
            padded, weight, bias, "none", [], ""
        )
        return product[:num_rows]

    def _rounded(self, result: Tensor) -> Tensor:
        return self.cast(result) if self.backend.emulated else result


def _pad_rows(rows_NI: Tensor, num_rows: int) -> Tensor:
    missing = num_rows - len(rows_NI)
    if not missing:
        return rows_NI
    return torch.cat([rows_NI, rows_NI.new_zeros(missing, rows_NI.shape[1])])


def choose_matmul(wanted: Precision, device: torch.device) -> Matmul:
    """The products of a precision on a device; auto: bf16 where it is fast, else fp32.

    Raises:
        UsageError: The device does not support the precision.
    """
    return Matmul(choose_backend(wanted, device))

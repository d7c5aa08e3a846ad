"""Matrix products in the precision that autocast asks for, on the fastest path.

Which library is fast depends on the processor: MKL for float32 on Intel's, oneDNN for
float32 on others and for bfloat16 everywhere. The choice looks at the processor and
never at a clock, so that a resumed run computes the same bits.

Shapes: N rows, I inputs, J outputs of a product with weights [J, I].
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, Protocol

import torch
from torch import Tensor

_ROWS = 16
"""Row counts are rounded up to this: oneDNN plans anew for each it has not seen."""
_BLOCK = 256
_PACK_USES, _PACK_WEIGHTS = 4, 1 << 20
"""Laying out costs about two products of large weights, and twenty of small ones."""


class Products(Protocol):
    """Products whose operands are rounded to `dtype`, with sums in float32."""

    dtype: torch.dtype
    """What operands and results are held in."""

    def cast(self, tensor: Tensor) -> Tensor:
        """Round to the precision of an operand."""
        ...

    def prepare(self, weight_JI: Tensor, num_uses: int) -> Any:
        """Lay weights out for `num_uses` calls of `apply` or `accumulate`."""
        ...

    def apply(self, rows_NI: Tensor, weight: Any, bias_J: Tensor | None) -> Tensor:
        """Rows @ weight.T + bias, [N, J], for many rows."""
        ...

    def accumulate(self, sum_NJ: Tensor, rows_NI: Tensor, weight: Any) -> Tensor:
        """Sum + rows @ weight.T, for one step; may overwrite the sum.

        With an overhang it may not: those rows are another step's.
        """
        ...

    def outer(self, left_NJ: Tensor, right_NI: Tensor) -> Tensor:
        """left.T @ right, float32 [J, I]: a weight's gradient."""
        ...

    def overhang(self, num_rows: int) -> int:
        """How many rows a step should read so that plans are used again."""
        ...


class _Plain:
    """torch's own products: MKL's on a CPU, cuBLAS's on a GPU."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype

    def cast(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.dtype)

    def prepare(self, weight_JI: Tensor, num_uses: int) -> Tensor:
        del num_uses
        return self.cast(weight_JI)

    def apply(self, rows_NI: Tensor, weight: Tensor, bias_J: Tensor | None) -> Tensor:
        if bias_J is None:
            return rows_NI @ weight.T
        return torch.addmm(self.cast(bias_J), rows_NI, weight.T)

    def accumulate(self, sum_NJ: Tensor, rows_NI: Tensor, weight: Tensor) -> Tensor:
        return sum_NJ.addmm_(rows_NI, weight.T)

    def outer(self, left_NJ: Tensor, right_NI: Tensor) -> Tensor:
        return (left_NJ.T @ right_NI).float()

    def overhang(self, num_rows: int) -> int:
        return num_rows


class _OneDNN(_Plain):
    """oneDNN's products, with weights laid out once where they are used often.

    Args:
        dtype: Of operands.
        large: Whether oneDNN is to make the large products, too, and not torch.
    """

    def __init__(self, dtype: torch.dtype, *, large: bool) -> None:
        super().__init__(dtype)
        self._large = large

    def prepare(self, weight_JI: Tensor, num_uses: int) -> Tensor:
        weight = self.cast(weight_JI)
        if num_uses < _PACK_USES or weight.numel() < _PACK_WEIGHTS:
            return weight
        packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, None)
        return packed

    def apply(self, rows_NI: Tensor, weight: Tensor, bias_J: Tensor | None) -> Tensor:
        if not (self._large or weight.is_mkldnn):
            return super().apply(rows_NI, weight, bias_J)
        bias = None if bias_J is None else self.cast(bias_J)
        full = len(rows_NI) - len(rows_NI) % _BLOCK
        pieces = [rows_NI[:full], rows_NI[full:]]
        done = [self._apply(piece, weight, bias) for piece in pieces if len(piece)]
        return done[0] if len(done) == 1 else torch.cat(done)

    def _apply(self, rows_NI: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        num_rows = len(rows_NI)
        padded = _pad_rows(rows_NI.contiguous(), self.overhang(num_rows))
        product: Tensor = torch.ops.mkldnn._linear_pointwise(
            padded, weight, bias, "none", [], ""
        )
        return product[:num_rows]

    def accumulate(self, sum_NJ: Tensor, rows_NI: Tensor, weight: Tensor) -> Tensor:
        if not weight.is_mkldnn:  # used once: a plan would cost more than it saves
            # Not in place: the overhanging rows are the next step's.
            return torch.addmm(sum_NJ, rows_NI, weight.T)
        total: Tensor = torch.ops.mkldnn._linear_pointwise.binary(
            rows_NI, sum_NJ, weight, None, "add"
        )
        return total

    def outer(self, left_NJ: Tensor, right_NI: Tensor) -> Tensor:
        if not self._large:
            return super().outer(left_NJ, right_NI)
        full = len(left_NJ) - len(left_NJ) % _BLOCK
        total = super().outer(left_NJ[:full], right_NI[:full])
        if full < len(left_NJ):
            num_rows = self.overhang(len(left_NJ) - full)
            left, right = (_pad_rows(t[full:], num_rows) for t in (left_NJ, right_NI))
            total += super().outer(left, right)
        return total

    def overhang(self, num_rows: int) -> int:
        return -(-num_rows // _ROWS) * _ROWS


class _Rounded(_OneDNN):
    """bfloat16 on a processor without such instructions: the same rounding, in float32.

    Its own bfloat16 products are about four times slower than float32's.
    """

    def __init__(self) -> None:
        super().__init__(torch.float32, large=not _is_intel())

    def cast(self, tensor: Tensor) -> Tensor:
        return tensor.bfloat16().float()

    def apply(self, rows_NI: Tensor, weight: Tensor, bias_J: Tensor | None) -> Tensor:
        return self.cast(super().apply(rows_NI, weight, bias_J))

    def accumulate(self, sum_NJ: Tensor, rows_NI: Tensor, weight: Tensor) -> Tensor:
        return self.cast(super().accumulate(sum_NJ, rows_NI, weight))

    def outer(self, left_NJ: Tensor, right_NI: Tensor) -> Tensor:
        return self.cast(super().outer(left_NJ, right_NI))


def _pad_rows(rows_NI: Tensor, num_rows: int) -> Tensor:
    missing = num_rows - len(rows_NI)
    if not missing:
        return rows_NI
    return torch.cat([rows_NI, rows_NI.new_zeros(missing, rows_NI.shape[1])])


def products(device: torch.device) -> Products:
    """The products to use on a device, under the autocast in force."""
    dtype = torch.float32
    if torch.is_autocast_enabled(device.type):
        dtype = torch.get_autocast_dtype(device.type)
    return _products(device.type, dtype)


@cache
def _products(device_type: str, dtype: torch.dtype) -> Products:
    if device_type != "cpu":
        return _Plain(dtype)
    if dtype is torch.bfloat16:
        return _OneDNN(dtype, large=True) if has_fast_bf16() else _Rounded()
    return _OneDNN(dtype, large=not _is_intel())


@cache
def has_fast_bf16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware."""
    known = capabilities()
    return any(known.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))


@cache
def _is_intel() -> bool:
    name = str(capabilities().get("cpu_name", ""))
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return True
    return "Intel" in name


def capabilities() -> Mapping[str, Any]:
    """What this CPU can do, by name."""
    if not hasattr(torch.cpu, "get_capabilities"):  # torch 2.11
        return {
            "avx512_bf16": torch.cpu._is_avx512_bf16_supported(),
            "avx512_vnni": torch.cpu._is_vnni_supported(),
        }
    found: Mapping[str, Any] = torch.cpu.get_capabilities()
    return found

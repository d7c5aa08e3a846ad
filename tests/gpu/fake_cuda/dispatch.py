"""Operations on tensors of the fake GPU: devices of the operands, and host syncs."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map

from tests.gpu.fake_cuda.tensor import FakeCudaTensor, caller
from tests.gpu.fake_cuda.transfers import Transfers

_aten = torch.ops.aten

_ALWAYS_SYNC = {
    _aten._local_scalar_dense.default,
    _aten.nonzero.default,
    _aten.masked_select.default,
    _aten.equal.default,
    _aten.allclose.default,
    _aten._unique.default,
    _aten._unique2.default,
    _aten.unique_dim.default,
    _aten.unique_consecutive.default,
    _aten.unique_dim_consecutive.default,
    _aten._coalesce.default,
    _aten.coalesce.default,
    _aten.bincount.default,
}
_INDEXED = {_aten.index.Tensor}
_INDEX_PUT = {
    _aten.index_put.default,
    _aten.index_put_.default,
    _aten._index_put_impl_.default,
}
_COPIES = {_aten.copy_.default, _aten.copy.default}


class MixedDevices(AssertionError):
    """An operation got operands from the GPU and from the CPU."""


def run(
    transfers: Transfers, func: Any, args: Sequence[Any], kwargs: dict[str, Any]
) -> Any:
    """Run an operation with at least one operand on the GPU.

    Raises:
        MixedDevices: Another operand is on the CPU.
    """
    if func in _COPIES:
        target, source, *rest = args
        non_blocking = bool(rest[0] if rest else kwargs.get("non_blocking", False))
        transfers.copy(target, source, non_blocking)
        return target
    _check_devices(transfers, func, args, kwargs)
    if _must_sync(func, args, kwargs):
        transfers.sync(str(func))
    result = func(*tree_map(_unwrap, args), **tree_map(_unwrap, kwargs))
    return _wrap_result(transfers, func, args, kwargs, result)


def _check_devices(
    transfers: Transfers, func: Any, args: Sequence[Any], kwargs: dict[str, Any]
) -> None:
    operands, _ = tree_flatten((args, kwargs))
    for operand in operands:
        on_cpu = isinstance(operand, Tensor) and not isinstance(operand, FakeCudaTensor)
        if not on_cpu or not operand.dim():
            continue
        if func in _INDEXED | _INDEX_PUT and operand is not args[0]:
            indices = args[1]
            if any(operand is index for index in indices):
                transfers.sync(f"{func}: index copied to the device")
                continue
        raise MixedDevices(
            f"{func}: an operand of shape {tuple(operand.shape)} is on the CPU, "
            f"others are on the GPU, at {caller()}"
        )


def _must_sync(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> bool:
    if func in _ALWAYS_SYNC:
        return True
    if func is _aten.repeat_interleave.Tensor:
        return kwargs.get("output_size") is None
    if func not in _INDEXED | _INDEX_PUT:
        return False
    indices = [index for index in args[1] if index is not None]
    masks = [i for i in indices if i.dtype in (torch.bool, torch.uint8)]
    if func in _INDEX_PUT and len(masks) == len(indices) and args[2].numel() == 1:
        return False  # torch fills under the mask
    return bool(masks)


def _wrap_result(
    transfers: Transfers,
    func: Any,
    args: Sequence[Any],
    kwargs: dict[str, Any],
    result: Any,
) -> Any:
    """The result with its tensors wrapped, or the operands that were written to."""
    schema = func._schema
    written = [
        kwargs[a.name] if a.name in kwargs else args[number]
        for number, a in enumerate(schema.arguments)
        if a.alias_info is not None
        and a.alias_info.is_write
        and (a.name in kwargs or number < len(args))
    ]
    returns = [
        r.alias_info is not None and r.alias_info.is_write for r in schema.returns
    ]
    if returns and all(returns):
        return written[0] if len(returns) == 1 else tuple(written)
    return tree_map(
        lambda value: (
            FakeCudaTensor(value, transfers) if isinstance(value, Tensor) else value
        ),
        result,
    )


def _unwrap(value: Any) -> Any:
    return value.held if isinstance(value, FakeCudaTensor) else value

"""cuDNN's LSTM on the fake GPU: the CPU's in float32, its results rounded."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tests.gpu.fake_cuda.dispatch import MixedDevices
from tests.gpu.fake_cuda.tensor import FakeCudaTensor, caller
from tests.gpu.fake_cuda.transfers import Transfers


@dataclass(frozen=True)
class LstmCall:
    """A call of cuDNN's LSTM."""

    dtypes: set[torch.dtype]
    """The dtypes of all operands."""
    num_rows: int
    """Tokens, padding included."""


class Cudnn:
    """The functions of torch that call cuDNN.

    Attributes:
        calls: The calls of its LSTM.
    """

    def __init__(self, transfers: Transfers) -> None:
        self._transfers = transfers
        self.calls: list[LstmCall] = []

    def flatten_weights(self, weights: Sequence[Any], *_: Any) -> Tensor:
        """`torch._cudnn_rnn_flatten_weight`: make the weights views of one buffer."""
        assert all(isinstance(weight, FakeCudaTensor) for weight in weights)
        flat = torch.cat([weight.held.flatten() for weight in weights])
        views = flat.split([weight.numel() for weight in weights])
        for weight, view in zip(weights, views, strict=True):
            weight.held = view.view(weight.shape)
        return self._transfers.wrap(flat)

    def rnn(self, input_: Any, weights: Any, *_: Any) -> tuple[Tensor, ...]:
        """`torch._cudnn_rnn`, called only to find out whether cuDNN takes a dtype."""
        self._record([input_, *weights])
        return (input_,) * 5

    def lstm(self, first: Any, *args: Any) -> Any:
        """`torch.lstm`, of whole sequences or of packed ones."""
        if not isinstance(first, FakeCudaTensor):
            return torch.lstm(first, *args)
        batch_sizes_T, rest = None, list(args)
        if isinstance(args[0], Tensor):
            batch_sizes_T, *rest = args
            assert type(batch_sizes_T) is Tensor, "batch sizes are on the CPU"
            assert batch_sizes_T.dtype is torch.int64
        state, weights, biases, num_layers, dropout, train, bidirectional, *_ = rest
        assert biases, "with biases"
        assert not bidirectional
        assert dropout == 0.0
        assert len(weights) == 4 * num_layers
        operands = [first, *state, *weights]
        self._record(operands)
        (dtype,) = self.calls[-1].dtypes
        storages = {w.held.untyped_storage().data_ptr() for w in weights}
        assert len(storages) == 1, "cuDNN would gather the weights at each call"
        (storage,) = {w.held.untyped_storage().nbytes() for w in weights}
        assert storage == sum(w.numel() for w in weights) * dtype.itemsize
        if not train:
            assert not torch.is_grad_enabled()
        return _Lstm.apply(self._transfers, batch_sizes_T, *operands)

    def _record(self, operands: Sequence[Any]) -> None:
        if not all(isinstance(operand, FakeCudaTensor) for operand in operands):
            raise MixedDevices(f"cuDNN's LSTM: a CPU operand at {caller()}")
        num_rows = operands[0].numel() // operands[0].shape[-1]
        dtypes = {operand.dtype for operand in operands}
        self.calls.append(LstmCall(dtypes, num_rows))


class _Lstm(torch.autograd.Function):
    """The CPU's LSTM in float32, its results rounded to the operands' dtype."""

    @staticmethod
    def forward(ctx, transfers, batch_sizes_T, *operands):
        needs_grad = torch.is_grad_enabled() or any(ctx.needs_input_grad)
        dtype = operands[0].dtype
        inner = [operand.held.detach().float().clone() for operand in operands]
        with torch.inference_mode(False), torch.set_grad_enabled(needs_grad):
            inner = [tensor.clone().requires_grad_(needs_grad) for tensor in inner]
            first, h, c, *weights = inner
            rest = (h, c), weights, True, len(weights) // 4, 0.0, needs_grad, False
            results = (
                torch.lstm(first, *rest, False)
                if batch_sizes_T is None
                else torch.lstm(first, batch_sizes_T, *rest)
            )
        ctx.transfers, ctx.dtype = transfers, dtype
        ctx.inner, ctx.results = inner, results
        return tuple(transfers.wrap(result.to(dtype)) for result in results)

    @staticmethod
    def backward(ctx, *gradients):
        for gradient in gradients:
            assert gradient.dtype == ctx.dtype
        inner_gradients = torch.autograd.grad(
            ctx.results, ctx.inner, [gradient.held.float() for gradient in gradients]
        )
        wrap, dtype = ctx.transfers.wrap, ctx.dtype
        return None, None, *(wrap(gradient.to(dtype)) for gradient in inner_gradients)

"""The fake GPU: calls of torch that name a device, and the backward pass."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import BackwardCFunction
from torch.autograd.graph import _engine_run_backward
from torch.overrides import TorchFunctionMode

from tests.gpu.fake_cuda import dispatch
from tests.gpu.fake_cuda.cudnn import Cudnn, LstmCall
from tests.gpu.fake_cuda.tensor import GPU, FakeCudaTensor
from tests.gpu.fake_cuda.transfers import Transfers

_apply_backward = BackwardCFunction.apply


class _Devices(TorchFunctionMode):
    """Rewrites the calls that name a device."""

    def __init__(self, gpu: "FakeGpu") -> None:
        super().__init__()
        self._gpu = gpu

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        special = self._gpu.special.get(func)
        result = (
            special(*args, **kwargs)
            if special is not None
            else self._gpu.call(func, args, kwargs)
        )
        values = result if isinstance(result, list | tuple) else (result,)
        if any(
            isinstance(value, FakeCudaTensor) and value.grad_fn is not None
            for value in values
        ):
            self._gpu.num_graph_nodes += 1
        return result


class FakeGpu(Transfers):
    """The device.

    Attributes:
        num_graph_nodes: Results that autograd can differentiate.
        special: Functions of torch that are replaced -> their replacements.
        mode: Replaces them while it is active.
    """

    def __init__(self) -> None:
        super().__init__()
        self.num_graph_nodes = 0
        self.mode = _Devices(self)
        self._cudnn = Cudnn(self)
        self.special: dict[Any, Callable[..., Any]] = {
            torch.Tensor.to: self.to,
            torch.Tensor.cuda: lambda t, *_, non_blocking=False, **__: self.to(
                t, GPU, non_blocking=non_blocking
            ),
            torch.Tensor.cpu: lambda t, *_, **__: self.to(t, "cpu"),
            torch.Tensor.__setitem__: self._setitem,
            torch.Tensor.is_pinned: lambda t, *_: self.is_pinned(t),
            torch.Tensor.type_as: lambda t, other: self.to(t, other),
            torch.tensor: self._make_tensor,
            torch.as_tensor: self._make_tensor,
            torch.lstm: self._cudnn.lstm,
            torch._cudnn_rnn_flatten_weight: self._cudnn.flatten_weights,
            torch._cudnn_rnn: self._cudnn.rnn,
        }

    @property
    def lstm_calls(self) -> list[LstmCall]:
        """The calls of cuDNN's LSTM."""
        return self._cudnn.calls

    def call(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """Call a function that is not replaced, on the device it names."""
        pinned = kwargs.pop("pin_memory", False)
        device = kwargs.pop("device", None)
        if device is None:
            result = func(*args, **kwargs)
        elif torch.device(device).type == "cuda":
            result = func(*args, **kwargs)
            if isinstance(result, Tensor) and not isinstance(result, FakeCudaTensor):
                result = self.wrap(result)
        else:
            result = func(*args, **kwargs, device=device)
            if isinstance(result, FakeCudaTensor):  # zeros_like and the like
                result = result.held
        if pinned:
            self.note_pinned(result)
        return result

    def run(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """Run an operation with at least one operand on the GPU: see `dispatch`."""
        return dispatch.run(self, func, args, kwargs)

    def run_backward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the backward pass with `mode`: those written in Python make tensors."""
        with self.mode:
            return _engine_run_backward(*args, **kwargs)

    def run_backward_function(self, function: Any, *gradients: Any) -> Any:
        """Run the backward pass of one Python function.

        For outputs without a gradient torch made zeros on what it takes for the device.
        """
        if any(isinstance(gradient, FakeCudaTensor) for gradient in gradients):
            gradients = tuple(
                self.wrap(gradient) if type(gradient) is Tensor else gradient
                for gradient in gradients
            )
        return _apply_backward(function, *gradients)

    def _make_tensor(self, data: Any, **kwargs: Any) -> Tensor:
        device = kwargs.pop("device", None)
        pinned = kwargs.pop("pin_memory", False)
        if isinstance(data, FakeCudaTensor):
            raise NotImplementedError("torch.tensor of a tensor on the GPU")
        tensor = torch.tensor(data, **kwargs)
        if pinned:
            tensor = self.pin(tensor)
        on_gpu = device is not None and torch.device(device).type == "cuda"
        return self.to(tensor, GPU) if on_gpu else tensor

    def _setitem(self, tensor: Tensor, key: Any, value: Any) -> None:
        if isinstance(tensor, FakeCudaTensor) and not isinstance(value, Tensor):
            # A number is an argument of a kernel and no copy.
            value = self.wrap(torch.tensor(value, dtype=tensor.dtype))
        if isinstance(tensor, FakeCudaTensor) or isinstance(value, FakeCudaTensor):
            torch.Tensor.__setitem__(tensor, key, value)
            return
        tensor[key] = value

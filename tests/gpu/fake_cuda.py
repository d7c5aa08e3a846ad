"""A GPU that is not there: tensors that claim to be on `cuda` and compute on the CPU.

With these, the code that a GPU takes runs on any machine, and two kinds of mistakes in
it are found: operands on different devices, and places where the host waits for the
device. What differs from a real GPU: kernels, their rounding and their speed; and C++
code sees a CPU tensor, so an operation that torch itself implements differently on a
GPU (dropout, the choice of a `foreach` kernel) takes its CPU path.

    with fake_cuda() as gpu:
        model.to("cuda")
        with gpu.record_syncs() as syncs:
            step(model)
        assert syncs == []

How it works. A tensor is a wrapper subclass around a CPU tensor. Every
operation on it passes `__torch_dispatch__`, where devices are compared. Calls that name
a device (`torch.zeros(..., device="cuda")`, `tensor.to("cuda")`) are rewritten by a
`TorchFunctionMode`. cuDNN's LSTM is replaced by the CPU's, in float32, rounded.

Waits that are recorded: reading a value (`item`, `bool`, `tolist`, `cpu`), operations
whose result has a shape that depends on values (`nonzero`, a mask as index, `unique`,
`repeat_interleave` without `output_size`), `equal`, `coalesce`, copies that block, and
copies from or to memory that is not pinned. A copy to the host that does not block
arrives only when something waits for it; until then the memory holds nonsense.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd.function import BackwardCFunction
from torch.autograd.graph import _engine_run_backward
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_map

GPU = torch.device("cuda", 0)
_ROOT = str(Path(__file__).parents[2])
_aten = torch.ops.aten
_apply_backward = BackwardCFunction.apply

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


class HostSync(AssertionError):
    """The host waited for the device where it must not."""


class FakeCudaTensor(Tensor):
    """A CPU tensor that says it is on the GPU.

    Attributes:
        held: The CPU tensor.
    """

    held: Tensor
    gpu: "FakeGpu"

    @staticmethod
    def __new__(cls, inner: Tensor, gpu: "FakeGpu") -> "FakeCudaTensor":
        options: dict[str, Any] = {"dtype": inner.dtype, "device": inner.device}
        if inner.layout is torch.sparse_coo:
            options |= {"layout": torch.sparse_coo, "dispatch_layout": True}
        else:
            options |= {
                "strides": inner.stride(),
                "storage_offset": inner.storage_offset(),
            }
        # Views of a normal tensor are normal ones in inference mode, too.
        with torch.inference_mode(inner.is_inference()):
            made = torch.Tensor._make_wrapper_subclass(
                cls, inner.size(), requires_grad=False, **options
            )
        made.held, made.gpu = inner, gpu
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):  # type: ignore[override]
        tensors, _ = tree_flatten((args, kwargs or {}))
        gpu = next(t.gpu for t in tensors if isinstance(t, FakeCudaTensor))
        return gpu.run(func, args, kwargs or {})

    device = property(lambda self: GPU)
    is_cuda = property(lambda self: True)
    is_cpu = property(lambda self: False)

    def get_device(self):
        return GPU.index

    def tolist(self):
        self.gpu.sync("tolist")
        return self.held.tolist()

    def numpy(self, *, force=False):
        if not force:
            raise TypeError("can't convert cuda:0 device type tensor to numpy")
        self.gpu.sync("numpy")
        return self.held.numpy()

    def __array__(self, dtype=None):
        return self.numpy()

    def data_ptr(self):
        return self.held.data_ptr()

    def is_pinned(self, device=None):
        return False

    def __repr__(self, *, tensor_contents=None):
        return f"on {GPU}: {self.held!r}"


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
        flat = result if isinstance(result, list | tuple) else (result,)
        for each in flat:
            if isinstance(each, FakeCudaTensor) and each.grad_fn is not None:
                self._gpu.num_graph_nodes += 1
                break
        return result


@dataclass(frozen=True)
class LstmCall:
    """A call of cuDNN's LSTM."""

    dtypes: set[torch.dtype]
    """The dtypes of all operands."""
    num_rows: int
    """Tokens, padding included."""


class FakeGpu:
    """The device.

    Attributes:
        syncs: Each time the host waited for the device: what for, and where.
        num_graph_nodes: Results that autograd remembers how to differentiate.
        lstm_calls: What cuDNN's LSTM was called with.
    """

    def __init__(self) -> None:
        self.syncs: list[str] = []
        self.num_graph_nodes = 0
        self.lstm_calls: list[LstmCall] = []
        self._strict = False
        self._pinned: dict[int, Any] = {}
        self._arriving: list[tuple[Tensor, Tensor]] = []
        self._num_arrived = 0
        self.mode = _Devices(self)
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
            torch.lstm: self._lstm,
            torch._cudnn_rnn_flatten_weight: self._flatten_weights,
            torch._cudnn_rnn: self._cudnn_rnn,
        }

    # Waiting

    def sync(self, reason: str, *, arrived: int | None = None) -> None:
        """Record that the host waits; what is on its way to the host arrives."""
        where = _caller()
        if self._strict:
            raise HostSync(f"{reason} at {where}")
        self.syncs.append(f"{reason} at {where}")
        self.arrive(len(self._arriving) if arrived is None else arrived)

    def arrive(self, number: int) -> None:
        """Let the first `number` copies to the host arrive."""
        for place, values in self._arriving[self._num_arrived : number]:
            place.copy_(values)
        self._num_arrived = max(self._num_arrived, number)

    @property
    def num_leaving(self) -> int:
        """Copies to the host that were begun."""
        return len(self._arriving)

    @contextmanager
    def record_syncs(self) -> Iterator[list[str]]:
        """The waits inside the block, as they come."""
        before, self.syncs = self.syncs, []
        try:
            yield self.syncs
        finally:
            self.syncs = [*before, *self.syncs]

    @contextmanager
    def forbid_syncs(self) -> Iterator[None]:
        """Raise `HostSync` where the host waits inside the block."""
        self._strict = True
        try:
            yield
        finally:
            self._strict = False

    # Memory

    def wrap(self, tensor: Tensor) -> FakeCudaTensor:
        """The tensor as one on the GPU."""
        return FakeCudaTensor(tensor.detach(), self)

    def pin(self, tensor: Tensor) -> Tensor:
        """A copy in memory from which a GPU copies by itself."""
        if isinstance(tensor, FakeCudaTensor):
            raise RuntimeError("cannot pin memory of a GPU")  # noqa: TRY004 # as torch
        pinned = tensor.detach().clone(memory_format=torch.contiguous_format)
        self.note_pinned(pinned)
        return pinned

    def note_pinned(self, tensor: Tensor) -> None:
        """The storage is pinned; it is kept, so that no other gets its address."""
        storage = tensor.untyped_storage()
        self._pinned[storage.data_ptr()] = storage

    def is_pinned(self, tensor: Tensor) -> bool:
        """Whether a GPU copies from this memory by itself."""
        return tensor.untyped_storage().data_ptr() in self._pinned

    def to(self, tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """`Tensor.to`."""
        kwargs.pop("copy", None)
        if args and isinstance(args[0], Tensor):
            other, *rest = args
            args = (other.device, other.dtype, *rest)
        device, dtype, non_blocking, _ = torch._C._nn._parse_to(*args, **kwargs)
        dtype = tensor.dtype if dtype is None else dtype
        here = isinstance(tensor, FakeCudaTensor)
        there = here if device is None else device.type == "cuda"
        if here == there:
            same: Tensor = tensor.to(dtype)
            return same
        if tensor.requires_grad and torch.is_grad_enabled():
            raise NotImplementedError("a copy between devices inside a graph")
        if there:
            direct = dtype == tensor.dtype and tensor.is_contiguous()
            self._upload(tensor, direct=direct, non_blocking=non_blocking)
            return self.wrap(tensor.detach().to(dtype, copy=True))
        values = host(tensor).to(dtype).clone()
        if not non_blocking:
            self.sync("copy to the host")
            return values
        place = torch.empty_like(values)
        self.note_pinned(place)
        self._download_later(place, values)
        return place

    def _upload(self, source: Tensor, *, direct: bool, non_blocking: bool) -> None:
        if not non_blocking:
            self.sync("copy to the device that blocks")
        elif source.numel() and not (direct and self.is_pinned(source)):
            self.sync("copy to the device from memory that is not pinned")

    def _download_later(self, place: Tensor, values: Tensor) -> None:
        place.fill_(torch.nan if place.is_floating_point() else -(1 << 7) + 1)
        self._arriving.append((place, values))

    def _copy(self, place: Tensor, source: Tensor, non_blocking: bool) -> None:
        """`place.copy_(source)`."""
        if isinstance(place, FakeCudaTensor):
            if isinstance(source, FakeCudaTensor):
                place.held.copy_(source.held)
                return
            direct = source.dtype == place.dtype and source.is_contiguous()
            self._upload(source, direct=direct, non_blocking=non_blocking)
            place.held.copy_(source)
            return
        assert isinstance(source, FakeCudaTensor)
        values = source.held.to(place.dtype).expand_as(place).clone()
        if non_blocking and self.is_pinned(place):
            self._download_later(place, values)
            return
        self.sync("copy to the host")
        place.copy_(values)

    # Calls

    def call(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """A call with no meaning of its own here: on the device it names."""
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
            if isinstance(result, FakeCudaTensor):  # zeros_like and its kin
                result = result.held
        if pinned:
            self.note_pinned(result)
        return result

    def _make_tensor(self, data: Any, **kwargs: Any) -> Tensor:
        device = kwargs.pop("device", None)
        pinned = kwargs.pop("pin_memory", False)
        if isinstance(data, FakeCudaTensor):
            raise NotImplementedError("torch.tensor of a tensor on the GPU")
        made = torch.tensor(data, **kwargs)
        if pinned:
            made = self.pin(made)
        on_gpu = device is not None and torch.device(device).type == "cuda"
        return self.to(made, GPU) if on_gpu else made

    def run_backward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the backward pass: those written in Python make tensors, too."""
        with self.mode:
            return _engine_run_backward(*args, **kwargs)

    def run_backward_function(self, function: Any, *gradients: Any) -> Any:
        """Run the backward pass of one Python function.

        For outputs without a gradient torch made zeros on what it takes for the device.
        """
        if any(isinstance(each, FakeCudaTensor) for each in gradients):
            gradients = tuple(
                self.wrap(each) if type(each) is Tensor else each for each in gradients
            )
        return _apply_backward(function, *gradients)

    def _setitem(self, tensor: Tensor, key: Any, value: Any) -> None:
        if isinstance(tensor, FakeCudaTensor) and not isinstance(value, Tensor):
            # A number is an argument of a kernel and no copy.
            value = self.wrap(torch.tensor(value, dtype=tensor.dtype))
        if isinstance(tensor, FakeCudaTensor) or isinstance(value, FakeCudaTensor):
            torch.Tensor.__setitem__(tensor, key, value)
            return
        tensor[key] = value

    def run(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """An operation with at least one operand on the GPU.

        Raises:
            MixedDevices: Another operand is on the CPU.
        """
        if func in _COPIES:
            place, source, *rest = args
            non_blocking = bool(rest[0] if rest else kwargs.get("non_blocking", False))
            self._copy(place, source, non_blocking)
            return place
        self._check_devices(func, args, kwargs)
        if self._must_sync(func, args, kwargs):
            self.sync(str(func))
        result = func(*tree_map(_inner, args), **tree_map(_inner, kwargs))
        return self._outside(func, args, kwargs, result)

    def _check_devices(
        self, func: Any, args: Sequence[Any], kwargs: dict[str, Any]
    ) -> None:
        flat, _ = tree_flatten((args, kwargs))
        for each in flat:
            plain = isinstance(each, Tensor) and not isinstance(each, FakeCudaTensor)
            if not plain or not each.dim():
                continue
            if func in _INDEXED | _INDEX_PUT and each is not args[0]:
                indices = args[1]
                if any(each is index for index in indices):
                    self.sync(f"{func}: index copied to the device")
                    continue
            raise MixedDevices(
                f"{func}: an operand of shape {tuple(each.shape)} is on the CPU, "
                f"others are on the GPU, at {_caller()}"
            )

    @staticmethod
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

    def _outside(
        self, func: Any, args: Sequence[Any], kwargs: dict[str, Any], result: Any
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
            lambda t: FakeCudaTensor(t, self) if isinstance(t, Tensor) else t, result
        )

    # cuDNN

    def _flatten_weights(self, weights: Sequence[Any], *_: Any) -> Tensor:
        """Make the weights views of one buffer, as cuDNN wants them."""
        assert all(isinstance(weight, FakeCudaTensor) for weight in weights)
        flat = torch.cat([weight.held.flatten() for weight in weights])
        pieces = flat.split([weight.numel() for weight in weights])
        for weight, piece in zip(weights, pieces, strict=True):
            weight.held = piece.view(weight.shape)
        return self.wrap(flat)

    def _cudnn_rnn(self, input_: Any, weights: Any, *_: Any) -> tuple[Tensor, ...]:
        """Only as a question: whether cuDNN takes this dtype."""
        self._note_lstm([input_, *weights])
        return (input_,) * 5

    def _note_lstm(self, operands: Sequence[Any]) -> None:
        for each in operands:
            if not isinstance(each, FakeCudaTensor):
                raise MixedDevices(f"cuDNN's LSTM: a CPU operand at {_caller()}")
        num_rows = operands[0].numel() // operands[0].shape[-1]
        self.lstm_calls.append(LstmCall({each.dtype for each in operands}, num_rows))

    def _lstm(self, first: Any, *args: Any) -> Any:
        """`torch.lstm`, of whole sequences or of packed ones."""
        packed = isinstance(args[0], Tensor)
        if not isinstance(first, FakeCudaTensor):
            return torch.lstm(first, *args)
        sizes_T = None
        if packed:
            sizes_T, *rest = args
            assert type(sizes_T) is Tensor, "batch sizes are on the CPU"
            assert sizes_T.dtype is torch.int64
        else:
            rest = list(args)
        state, weights, biases, num_layers, dropout, train, both_ways, *_ = rest
        assert biases, "with biases"
        assert not both_ways
        assert dropout == 0.0
        assert len(weights) == 4 * num_layers
        operands = [first, *state, *weights]
        self._note_lstm(operands)
        (dtype,) = self.lstm_calls[-1].dtypes
        storages = {w.held.untyped_storage().data_ptr() for w in weights}
        assert len(storages) == 1, "cuDNN would gather the weights at each call"
        (storage,) = {w.held.untyped_storage().nbytes() for w in weights}
        assert storage == sum(w.numel() for w in weights) * dtype.itemsize
        if not train:
            assert not torch.is_grad_enabled()
        return _Lstm.apply(self, sizes_T, *operands)


class _Lstm(torch.autograd.Function):
    """cuDNN's LSTM: the CPU's in float32, its results rounded as the operands are."""

    @staticmethod
    def forward(ctx, gpu, sizes_T, *operands):
        needs = torch.is_grad_enabled() or any(ctx.needs_input_grad)
        dtype = operands[0].dtype
        inner = [each.held.detach().float().clone() for each in operands]
        with torch.inference_mode(False), torch.set_grad_enabled(needs):
            inner = [each.clone().requires_grad_(needs) for each in inner]
            first, h, c, *weights = inner
            rest = (h, c), weights, True, len(weights) // 4, 0.0, needs, False
            results = (
                torch.lstm(first, *rest, False)
                if sizes_T is None
                else torch.lstm(first, sizes_T, *rest)
            )
        ctx.gpu, ctx.dtype, ctx.inner, ctx.results = gpu, dtype, inner, results
        return tuple(gpu.wrap(each.to(dtype)) for each in results)

    @staticmethod
    def backward(ctx, *gradients):
        for each in gradients:
            assert each.dtype == ctx.dtype
        found = torch.autograd.grad(
            ctx.results, ctx.inner, [each.held.float() for each in gradients]
        )
        return None, None, *(ctx.gpu.wrap(each.to(ctx.dtype)) for each in found)


class _Event:
    """`torch.cuda.Event`."""

    def __init__(self, gpu: FakeGpu) -> None:
        self._gpu, self._number = gpu, 0

    def record(self, stream: object = None) -> None:
        self._number = self._gpu.num_leaving

    def synchronize(self) -> None:
        self._gpu.sync("event", arrived=self._number)

    def wait(self, stream: object = None) -> None:
        """Another stream syncs, and not the host."""

    def query(self) -> bool:
        self._gpu.arrive(self._number)
        return True


class _Stream:
    """`torch.cuda.Stream`; work is done in the order of the calls."""

    def __init__(self, gpu: FakeGpu) -> None:
        self._gpu = gpu

    def synchronize(self) -> None:
        self._gpu.sync("stream")

    def wait_stream(self, other: object) -> None:
        """Another stream syncs, and not the host."""

    wait_event = wait_stream

    def record_event(self, event: _Event | None = None) -> _Event:
        event = event or _Event(self._gpu)
        event.record()
        return event

    def __enter__(self) -> "_Stream":
        return self

    def __exit__(self, *_: object) -> None:
        return None


@contextmanager
def fake_cuda() -> Iterator[FakeGpu]:
    """One GPU inside the block, with bfloat16 and 64 GiB.

    Only the calling thread can make tensors on it; other threads may pin memory.
    """
    gpu = FakeGpu()
    stream = _Stream(gpu)
    overwrite = torch.__future__.get_overwrite_module_params_on_conversion()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "pin_memory", lambda tensor, *_: gpu.pin(tensor))
        patch.setattr(torch.autograd, "_engine_run_backward", gpu.run_backward)
        patch.setattr(
            BackwardCFunction,
            "apply",
            lambda function, *gradients: gpu.run_backward_function(
                function, *gradients
            ),
        )
        for name, value in {
            "is_available": lambda: True,
            "device_count": lambda: 1,
            "current_device": lambda: 0,
            "set_device": lambda device: None,
            "get_device_name": lambda device=None: "fake",
            "is_bf16_supported": lambda including_emulation=True: True,
            "mem_get_info": lambda device=None: (1 << 36, 1 << 36),
            "max_memory_allocated": lambda device=None: 0,
            "reset_peak_memory_stats": lambda device=None: None,
            "empty_cache": lambda: None,
            "is_current_stream_capturing": lambda: False,
            "synchronize": lambda device=None: gpu.sync("synchronize"),
            "Event": lambda *_, **__: _Event(gpu),
            "Stream": lambda *_, **__: stream,
            "current_stream": lambda device=None: stream,
            "stream": lambda stream: stream,
        }.items():
            patch.setattr(torch.cuda, name, value)
        # A module's weights become others; torch cannot exchange what these hold.
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        try:
            with gpu.mode:
                yield gpu
        finally:
            torch.__future__.set_overwrite_module_params_on_conversion(overwrite)


def host(tensor: Tensor) -> Tensor:
    """The values on the CPU, wherever they are; counts as no wait."""
    return tensor.held if isinstance(tensor, FakeCudaTensor) else tensor.detach().cpu()


def _inner(value: Any) -> Any:
    return value.held if isinstance(value, FakeCudaTensor) else value


def _caller() -> str:
    """The nearest line of the project's own code."""
    frame = sys._getframe(1)
    found = "?"
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(_ROOT) and name != __file__ and ".venv" not in name:
            found = f"{name.removeprefix(_ROOT + '/')}:{frame.f_lineno}"
            break
        frame = frame.f_back  # type: ignore[assignment]
    return found

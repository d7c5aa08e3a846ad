"""A tensor on the fake GPU: a wrapper around a CPU tensor."""

import sys
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten

GPU = torch.device("cuda", 0)
_PACKAGE = str(Path(__file__).parent)
_ROOT = str(Path(__file__).parents[3])


class FakeCudaTensor(Tensor):
    """A CPU tensor that says it is on the GPU.

    Attributes:
        held: The CPU tensor.
        gpu: The device, a `FakeGpu`.
    """

    held: Tensor
    gpu: Any

    @staticmethod
    def __new__(cls, inner: Tensor, gpu: object) -> "FakeCudaTensor":
        options: dict[str, Any] = {"dtype": inner.dtype, "device": inner.device}
        if inner.layout is torch.sparse_coo:
            options |= {"layout": torch.sparse_coo, "dispatch_layout": True}
        else:
            options |= {
                "strides": inner.stride(),
                "storage_offset": inner.storage_offset(),
            }
        # Views of a normal tensor are normal tensors in inference mode too.
        with torch.inference_mode(inner.is_inference()):
            wrapper = torch.Tensor._make_wrapper_subclass(
                cls, inner.size(), requires_grad=False, **options
            )
        wrapper.held, wrapper.gpu = inner, gpu
        return wrapper

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


def host(tensor: Tensor) -> Tensor:
    """The values on the CPU, wherever they are; not recorded as a host sync."""
    return tensor.held if isinstance(tensor, FakeCudaTensor) else tensor.detach().cpu()


def caller() -> str:
    """File and line of the nearest frame in the project, outside this package."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        outside = (_PACKAGE, f"{_ROOT}/.venv")
        if name.startswith(_ROOT) and not name.startswith(outside):
            return f"{name.removeprefix(_ROOT + '/')}:{frame.f_lineno}"
        frame = frame.f_back
    return "?"

"""Copies between the CPU and the fake GPU, pinned memory, and host syncs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from tests.gpu.fake_cuda.tensor import FakeCudaTensor, caller, host


class HostSync(AssertionError):
    """The host waited for the device where it must not."""


class Transfers:
    """Copies to and from the device, and each time that the host waits for one.

    Attributes:
        syncs: Reason and place of each host sync.
    """

    def __init__(self) -> None:
        self.syncs: list[str] = []
        self._strict = False
        self._pinned: dict[int, Any] = {}
        self._downloads: list[tuple[Tensor, Tensor]] = []
        self._num_arrived = 0

    # Host syncs

    def sync(self, reason: str, *, arrived: int | None = None) -> None:
        """Record a host sync; copies to the host arrive, all or the first `arrived`."""
        where = caller()
        if self._strict:
            raise HostSync(f"{reason} at {where}")
        self.syncs.append(f"{reason} at {where}")
        self.arrive(len(self._downloads) if arrived is None else arrived)

    def arrive(self, number: int) -> None:
        """Let the first `number` copies to the host arrive."""
        for target, values in self._downloads[self._num_arrived : number]:
            target.copy_(values)
        self._num_arrived = max(self._num_arrived, number)

    @property
    def num_downloads(self) -> int:
        """Copies to the host that were started."""
        return len(self._downloads)

    @contextmanager
    def record_syncs(self) -> Iterator[list[str]]:
        """The host syncs inside the block, as they come."""
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
        """Copy a tensor to pinned memory."""
        if isinstance(tensor, FakeCudaTensor):
            raise RuntimeError("cannot pin memory of a GPU")  # noqa: TRY004 # as torch
        pinned = tensor.detach().clone(memory_format=torch.contiguous_format)
        self.note_pinned(pinned)
        return pinned

    def note_pinned(self, tensor: Tensor) -> None:
        """Remember that the tensor's storage is pinned.

        The storage is kept alive, so that no other one gets its address.
        """
        storage = tensor.untyped_storage()
        self._pinned[storage.data_ptr()] = storage

    def is_pinned(self, tensor: Tensor) -> bool:
        """Whether the tensor is in pinned memory."""
        return tensor.untyped_storage().data_ptr() in self._pinned

    # Copies

    def to(self, tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """`Tensor.to`."""
        kwargs.pop("copy", None)
        if args and isinstance(args[0], Tensor):
            other, *rest = args
            args = (other.device, other.dtype, *rest)
        device, dtype, non_blocking, _ = torch._C._nn._parse_to(*args, **kwargs)
        dtype = tensor.dtype if dtype is None else dtype
        is_here = isinstance(tensor, FakeCudaTensor)
        goes_here = is_here if device is None else device.type == "cuda"
        if is_here == goes_here:
            same: Tensor = tensor.to(dtype)
            return same
        if tensor.requires_grad and torch.is_grad_enabled():
            raise NotImplementedError("a copy between devices inside a graph")
        if goes_here:
            direct = dtype == tensor.dtype and tensor.is_contiguous()
            self._upload(tensor, direct=direct, non_blocking=non_blocking)
            return self.wrap(tensor.detach().to(dtype, copy=True))
        values = host(tensor).to(dtype).clone()
        if not non_blocking:
            self.sync("copy to the host")
            return values
        target = torch.empty_like(values)
        self.note_pinned(target)
        self._download_later(target, values)
        return target

    def copy(self, target: Tensor, source: Tensor, non_blocking: bool) -> None:
        """`target.copy_(source)`."""
        if isinstance(target, FakeCudaTensor):
            if isinstance(source, FakeCudaTensor):
                target.held.copy_(source.held)
                return
            direct = source.dtype == target.dtype and source.is_contiguous()
            self._upload(source, direct=direct, non_blocking=non_blocking)
            target.held.copy_(source)
            return
        assert isinstance(source, FakeCudaTensor)
        values = source.held.to(target.dtype).expand_as(target).clone()
        if non_blocking and self.is_pinned(target):
            self._download_later(target, values)
            return
        self.sync("copy to the host")
        target.copy_(values)

    def _upload(self, source: Tensor, *, direct: bool, non_blocking: bool) -> None:
        if not non_blocking:
            self.sync("copy to the device that blocks")
        elif source.numel() and not (direct and self.is_pinned(source)):
            self.sync("copy to the device from memory that is not pinned")

    def _download_later(self, target: Tensor, values: Tensor) -> None:
        target.fill_(torch.nan if target.is_floating_point() else -(1 << 7) + 1)
        self._downloads.append((target, values))

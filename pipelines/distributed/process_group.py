"""The processes that train one model together, and their collective operations.

Each process holds the whole model and takes a part of every batch; gradients are
summed. The all-reduce of a gradient starts as soon as it is computed, during the
backward pass. Of embeddings only the rows of the batch's words are sent: torch's
DistributedDataParallel cannot do that under NCCL.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
import torch.distributed.nn.functional  # after a group was made it would keep one
from torch import Tensor, nn

from pipelines.distributed.environment import is_distributed
from pipelines.errors import PeerError

T = TypeVar("T")

_TIMEOUT = timedelta(hours=24)
"""Time that processes wait for rank 0, which may have text to preprocess."""


@dataclass(slots=True)
class DistributedContext:
    """This process among those that train together.

    Attributes:
        rank: Rank of this process; rank 0 writes and logs.
        size: Number of processes.
        local_rank: Rank of this process on its machine, which is its GPU's index.
        cpu_group: Process group for objects and numbers on the CPU; None for a single
            process, and after the process group is destroyed.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    cpu_group: dist.ProcessGroup | None = field(default=None, repr=False)

    @property
    def is_main_process(self) -> bool:
        """Whether this is the process that writes and logs."""
        return self.rank == 0

    def all_reduce_sum(self, tensor: Tensor) -> Tensor:
        """Sum a tensor over all processes, in place."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def all_reduce_max(self, *values: float) -> list[float]:
        """Return the maximum of each value over all processes."""
        if self.size == 1:
            return list(values)
        maxima = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(maxima, op=dist.ReduceOp.MAX, group=self.cpu_group)
        return maxima.tolist()

    def broadcast_object(self, value: T) -> T:
        """Return the value that rank 0 passed; those of the others are ignored."""
        if self.size == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, src=0, group=self.cpu_group)
        return values[0]

    def broadcast(self, tensors: Sequence[Tensor]) -> None:
        """Overwrite tensors with those of rank 0."""
        if self.size > 1:
            for tensor in tensors:
                dist.broadcast(tensor, src=0)


@contextmanager
def process_group(device_type: str) -> Iterator[DistributedContext]:
    """Join the process group that torchrun's environment describes.

    Without such an environment the context is that of a single process.

    Raises:
        PeerError: Another process has ended.
    """
    if not is_distributed():
        yield DistributedContext()
        return
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    if device_type == "cuda":
        torch.cuda.set_device(local_rank)
    distributed = DistributedContext(local_rank=local_rank)
    try:
        dist.init_process_group(
            "nccl" if device_type == "cuda" else "gloo", timeout=_TIMEOUT
        )
        distributed.rank, distributed.size = dist.get_rank(), dist.get_world_size()
        distributed.cpu_group = dist.new_group(backend="gloo", timeout=_TIMEOUT)
        yield distributed
    except RuntimeError as error:
        if not (isinstance(error, dist.DistError) or "gloo" in str(error)):
            raise
        raise PeerError(
            "lost the other processes of this training",
            hint="the one that ended first says why; "
            "s2s train resumes from the last checkpoint",
        ) from error
    finally:
        # A group's threads end with its last reference; they must not outlive Python.
        distributed.cpu_group = None
        if dist.is_initialized():
            dist.destroy_process_group()


class AsyncAllReduceMax:
    """MAX all-reduce of a few numbers that runs during the next update.

    Each call returns the maxima of the previous call's values, the same in all
    processes. A single process gets its own values at once. After an error there is no
    need to wait: destroying the process group abandons an all-reduce in flight.

    Args:
        distributed: The processes; each makes the same calls in the same order.
    """

    def __init__(self, distributed: DistributedContext) -> None:
        self._distributed = distributed
        self._pending: tuple[Tensor, dist.Work] | None = None

    def exchange(self, *values: float) -> list[float]:
        """Start an all-reduce of `values`.

        Returns:
            Maxima of the previous call's values; zeros in the first call.
        """
        if self._distributed.size == 1:
            return list(values)
        previous = self.wait() or [0.0] * len(values)
        maxima = torch.tensor(values, dtype=torch.float64)
        work = dist.all_reduce(
            maxima,
            op=dist.ReduceOp.MAX,
            group=self._distributed.cpu_group,
            async_op=True,
        )
        assert work is not None, "this process is a member of the group"
        self._pending = maxima, work
        return previous

    def wait(self) -> list[float] | None:
        """Wait for the all-reduce in flight and return its maxima, if there is one."""
        if self._pending is None:
            return None
        maxima, work = self._pending
        work.wait()
        self._pending = None
        return maxima.tolist()


class GradientAllReduce:
    """Sums the gradients of all processes during the backward pass.

    All-reduces start in a fixed order, from the last parameter to the first, because
    the order in which gradients are computed depends on the batch and so differs
    between processes. Each starts as soon as its gradient and all before it exist.

    Args:
        distributed: The processes.
        parameters: All parameters, in the same order in all processes.
    """

    def __init__(
        self, distributed: DistributedContext, parameters: Sequence[nn.Parameter]
    ) -> None:
        self._order = list(parameters)[::-1] if distributed.size > 1 else []
        self._ready: set[Tensor] = set()
        self._num_started = 0
        self._pending: list[dist.Work] = []
        for parameter in self._order:
            parameter.register_post_accumulate_grad_hook(self._on_gradient)  # type: ignore[no-untyped-call]

    def _on_gradient(self, parameter: Tensor) -> None:
        self._ready.add(parameter)
        while self._num_started < len(self._order):
            following = self._order[self._num_started]
            if following not in self._ready:
                break
            self._start(following)
            self._num_started += 1

    def _start(self, parameter: Tensor) -> None:
        gradient = parameter.grad
        assert gradient is not None, "the hook runs after the gradient is stored"
        # Embedding gradients have the same rows in all processes: see `collate_local`.
        values = gradient._values() if gradient.is_sparse else gradient
        work = dist.all_reduce(values, async_op=True)
        if work is not None:
            self._pending.append(work)

    def wait(self) -> None:
        """Wait until every gradient is summed."""
        for work in self._pending:
            work.wait()
        self._pending.clear()
        self._ready.clear()
        self._num_started = 0

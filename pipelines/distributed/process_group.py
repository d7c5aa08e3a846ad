"""The processes that train one model together, and what they say to each other.

Started by torchrun, each process holds the whole model and takes its share of every
batch; gradients are summed. Each one is sent as soon as it is there, while the backward
pass computes the rest. Embeddings send only the rows of the batch's words, for which
torch's DistributedDataParallel has no way under NCCL.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import torch
import torch.distributed as dist
import torch.distributed.nn.functional  # before a group is made: it would keep one
from torch import Tensor, nn

from pipelines.distributed.environment import is_distributed
from pipelines.errors import PeerError

_PATIENCE = timedelta(hours=24)
"""How long processes wait for the first, which may have text to prepare."""


@dataclass(slots=True)
class DistributedContext:
    """This process among those that train together.

    Attributes:
        rank: Number of this process; 0 writes and logs.
        size: Number of processes.
        local_rank: Number of this process on its machine: the GPU it takes.
        control: Group of plain CPU messages; None for a single process, and after
            the processes have parted.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    control: dist.ProcessGroup | None = field(default=None, repr=False)

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def all_reduce_sum(self, tensor: Tensor) -> Tensor:
        """The sum over all processes, in place."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def all_reduce_max(self, *values: float) -> list[float]:
        """The maximum of each value over all processes."""
        if self.size == 1:
            return list(values)
        maxima = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(maxima, op=dist.ReduceOp.MAX, group=self.control)
        return maxima.tolist()

    def broadcast_object(self, value: object) -> object:
        """What the first process has."""
        if self.size == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, src=0, group=self.control)
        return values[0]

    def broadcast(self, tensors: Sequence[Tensor]) -> None:
        """Overwrite tensors with the first process's."""
        if self.size > 1:
            for tensor in tensors:
                dist.broadcast(tensor, src=0)


@contextmanager
def joined(device_type: str) -> Iterator[DistributedContext]:
    """Meet the other processes, as torchrun's environment says; alone without it.

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
            "nccl" if device_type == "cuda" else "gloo", timeout=_PATIENCE
        )
        distributed.rank, distributed.size = dist.get_rank(), dist.get_world_size()
        distributed.control = dist.new_group(backend="gloo", timeout=_PATIENCE)
        yield distributed
    except RuntimeError as error:
        if not (isinstance(error, dist.DistError) or "gloo" in str(error)):
            raise
        raise PeerError(
            "lost the other processes of this training",
            hint="the one that ended first says why; "
            "s2s train goes on from the last checkpoint",
        ) from error
    finally:
        # A group's threads end with its last reference; they must not outlive Python.
        distributed.control = None
        if dist.is_initialized():
            dist.destroy_process_group()


class AsyncAllReduceMax:
    """A MAX all-reduce of a few numbers that runs during the next update.

    All processes get the same values in the same call, one call after they were given.
    A single process gets its own at once. After an error there is no need to wait:
    destroying the process group abandons an all-reduce that is still running.

    Args:
        distributed: The processes; each makes the same calls in the same order.
    """

    def __init__(self, distributed: DistributedContext) -> None:
        self._distributed = distributed
        self._pending: tuple[Tensor, dist.Work] | None = None

    def exchange(self, *values: float) -> list[float]:
        """Start an all-reduce of `values`.

        Returns:
            The maxima of the values of the previous call; zeros in the first one.
        """
        if self._distributed.size == 1:
            return list(values)
        previous = self.wait() or [0.0] * len(values)
        maxima = torch.tensor(values, dtype=torch.float64)
        work = dist.all_reduce(
            maxima, op=dist.ReduceOp.MAX, group=self._distributed.control, async_op=True
        )
        assert work is not None, "this process is a member of the group"
        self._pending = maxima, work
        return previous

    def wait(self) -> list[float] | None:
        """Wait for the all-reduce that is running and return its maxima, if any."""
        if self._pending is None:
            return None
        maxima, work = self._pending
        work.wait()
        self._pending = None
        return maxima.tolist()


class GradientExchange:
    """Sums the gradients of all processes while they are being made.

    They are sent in one order, that of the parameters from the last to the first, as
    soon as all before them are there: processes whose batches take other paths through
    the model get them in other orders.

    Args:
        distributed: The processes.
        parameters: In the same order in all of them.
    """

    def __init__(
        self, distributed: DistributedContext, parameters: Sequence[nn.Parameter]
    ) -> None:
        self._order = list(parameters)[::-1] if distributed.size > 1 else []
        self._distributed = distributed
        self._ready: set[Tensor] = set()
        self._num_sent = 0
        self._pending: list[dist.Work] = []
        for parameter in self._order:
            parameter.register_post_accumulate_grad_hook(self._take)  # type: ignore[no-untyped-call]

    def _take(self, parameter: Tensor) -> None:
        self._ready.add(parameter)
        while self._num_sent < len(self._order):
            following = self._order[self._num_sent]
            if following not in self._ready:
                break
            self._send(following)
            self._num_sent += 1

    def _send(self, parameter: Tensor) -> None:
        gradient = parameter.grad
        assert gradient is not None, "it is sent when there is a gradient"
        # All processes' embedding gradients have the same rows: see `collate_part`.
        values = gradient._values() if gradient.is_sparse else gradient
        work = dist.all_reduce(values, async_op=True)
        if work is not None:
            self._pending.append(work)

    def finish(self) -> None:
        """Wait until every gradient is the sum."""
        for work in self._pending:
            work.wait()
        self._pending.clear()
        self._ready.clear()
        self._num_sent = 0

"""Batches of a training run, made ahead by a thread while the model works.

An epoch is planned from the lengths alone; tokens are read from the mapped shards when
their batch is made. What comes next is a function of the plan and the position, so that
training goes on from any batch.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType

import torch

from pipelines.data.batch import Batch, PairIds, collate, collate_part
from pipelines.data.dataset import ParallelDataset

_AHEAD = 8
"""Batches that wait ready made."""

Plan = Callable[[int], Sequence[PairIds]]
"""Epoch -> the numbers of the pairs in each of its batches."""


@dataclass(frozen=True, slots=True)
class LoadedBatch:
    """This process's share of one update's pairs, and what all processes have."""

    batch: Batch
    weight: float
    """1, or 0 where there were too few pairs for this process to have one."""
    numbers: PairIds
    """int64, the pairs of all processes."""
    num_tgt_tokens: int
    """Target tokens of all processes, EOS included."""
    num_words: int
    """Source and target tokens of all processes, EOS included."""
    ends_epoch: bool


class Loader:
    """Makes batches ahead, from a position on, without end.

    Args:
        dataset: The pairs.
        plan: Cuts an epoch into batches.
        device: On a GPU the batches are in pinned memory.
        rank: Number of this process.
        num_ranks: Processes that share each batch: pair n goes to n mod num_ranks.
    """

    def __init__(
        self,
        dataset: ParallelDataset,
        plan: Plan,
        *,
        device: torch.device,
        rank: int = 0,
        num_ranks: int = 1,
    ) -> None:
        self._dataset, self._plan, self._device = dataset, plan, device
        self._rank, self._num_ranks = rank, num_ranks
        self._ready: queue.Queue[LoadedBatch | BaseException] = queue.Queue(_AHEAD)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.waited_s = 0.0
        """Time that `batches` has kept its caller waiting."""

    def __enter__(self) -> "Loader":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the thread."""
        self._stopping.set()
        while not self._ready.empty():
            self._ready.get_nowait()
        if self._thread is not None:
            self._thread.join()

    def batches(self, epoch: int, start: int) -> Iterator[LoadedBatch]:
        """All batches from number `start` of `epoch` on; may be called once."""
        self._thread = threading.Thread(
            target=self._make, args=(epoch, start), name="loader", daemon=True
        )
        self._thread.start()
        while True:
            asked = time.perf_counter()
            found = self._ready.get()
            self.waited_s += time.perf_counter() - asked
            if isinstance(found, BaseException):
                raise found
            yield found

    def _make(self, epoch: int, start: int) -> None:
        try:
            while not self._stopping.is_set():
                plan = self._plan(epoch)
                for number, numbers in enumerate(plan[start:], start + 1):
                    self._hand_over(self._share(numbers, number == len(plan)))
                    if self._stopping.is_set():
                        return
                epoch, start = epoch + 1, 0
        except BaseException as error:  # noqa: BLE001 # it is raised where it is waited for
            self._hand_over(error)

    def _share(self, numbers: PairIds, ends_epoch: bool) -> LoadedBatch:
        own = numbers[self._rank :: self._num_ranks]
        idle = len(own) == 0
        if self._num_ranks == 1:
            batch = collate(self._dataset, numbers)
        else:
            part = numbers[:1] if idle else own
            batch = collate_part(self._dataset, part, among=numbers)
        num_tgt_tokens = int(self._dataset.tgt_lengths[numbers].sum())
        return LoadedBatch(
            batch=batch if self._device.type == "cpu" else batch.pinned(),
            weight=0.0 if idle else 1.0,
            numbers=numbers,
            num_tgt_tokens=num_tgt_tokens,
            num_words=num_tgt_tokens + int(self._dataset.src_lengths[numbers].sum()),
            ends_epoch=ends_epoch,
        )

    def _hand_over(self, item: LoadedBatch | BaseException) -> None:
        while not self._stopping.is_set():
            try:
                self._ready.put(item, timeout=0.1)
            except queue.Full:
                continue
            return

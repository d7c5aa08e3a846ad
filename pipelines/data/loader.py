"""Batches of a training run, prepared ahead by a thread while the model works.

Batches are planned from sentence lengths alone; tokens are read from the mapped shards
when a batch is collated. What comes next is a function of the epoch and the batch's
index in it, so training can resume at any batch.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType

import torch

from pipelines.data.batch import Batch, collate, collate_local
from pipelines.data.dataset import PairIds, ParallelDataset

_QUEUE_SIZE = 8
"""Batches prepared ahead."""

EpochBatches = Callable[[int], Sequence[PairIds]]
"""Epoch -> the pairs of each of its batches."""


@dataclass(frozen=True, slots=True)
class LoadedBatch:
    """The pairs of one update: the local batch of this process, totals of all."""

    batch: Batch
    """Pairs of this process."""
    weight: float
    """1, or 0 where there are fewer pairs than processes and this one got none of its
    own: its batch then repeats another process's pair."""
    pair_ids: PairIds
    """int64, pairs of all processes."""
    num_tgt_tokens: int
    """Target tokens of all processes, EOS included."""
    num_words: int
    """Source and target tokens of all processes, EOS included."""
    ends_epoch: bool


class Loader:
    """Prepares batches ahead, epoch after epoch, without end.

    Args:
        dataset: The pairs.
        epoch_batches: Cuts an epoch into batches.
        device: Batches for a GPU are in pinned memory.
        rank: Rank of this process.
        num_ranks: Processes that share each batch: its pair n goes to rank
            n mod num_ranks.

    Attributes:
        waited_s: Time that the caller of `batches` has waited for a batch.
    """

    def __init__(
        self,
        dataset: ParallelDataset,
        epoch_batches: EpochBatches,
        *,
        device: torch.device,
        rank: int = 0,
        num_ranks: int = 1,
    ) -> None:
        self._dataset, self._device = dataset, device
        self._epoch_batches = epoch_batches
        self._rank, self._num_ranks = rank, num_ranks
        self._queue: queue.Queue[LoadedBatch | BaseException] = queue.Queue(_QUEUE_SIZE)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.waited_s = 0.0

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
        while not self._queue.empty():
            self._queue.get_nowait()
        if self._thread is not None:
            self._thread.join()

    def batches(self, epoch: int, start: int) -> Iterator[LoadedBatch]:
        """Iterate from batch `start` of `epoch` on; may be called once.

        Raises:
            Exception: Whatever the thread raised.
        """
        self._thread = threading.Thread(
            target=self._fill_queue, args=(epoch, start), name="loader", daemon=True
        )
        self._thread.start()
        while True:
            asked = time.perf_counter()
            item = self._queue.get()
            self.waited_s += time.perf_counter() - asked
            if isinstance(item, BaseException):
                raise item
            yield item

    def _fill_queue(self, epoch: int, start: int) -> None:
        try:
            while not self._stopping.is_set():
                batches = self._epoch_batches(epoch)
                for number, pair_ids in enumerate(batches[start:], start + 1):
                    self._put(self._load(pair_ids, ends_epoch=number == len(batches)))
                    if self._stopping.is_set():
                        return
                epoch, start = epoch + 1, 0
        except BaseException as error:  # noqa: BLE001 # `batches` raises it
            self._put(error)

    def _load(self, pair_ids: PairIds, *, ends_epoch: bool) -> LoadedBatch:
        local_ids = pair_ids[self._rank :: self._num_ranks]
        has_pairs = len(local_ids) > 0
        if self._num_ranks == 1:
            batch = collate(self._dataset, pair_ids)
        else:
            local_ids = local_ids if has_pairs else pair_ids[:1]
            batch = collate_local(self._dataset, local_ids, global_ids=pair_ids)
        num_tgt_tokens = int(self._dataset.tgt_lengths[pair_ids].sum())
        return LoadedBatch(
            batch=batch if self._device.type == "cpu" else batch.pinned(),
            weight=1.0 if has_pairs else 0.0,
            pair_ids=pair_ids,
            num_tgt_tokens=num_tgt_tokens,
            num_words=num_tgt_tokens + int(self._dataset.src_lengths[pair_ids].sum()),
            ends_epoch=ends_epoch,
        )

    def _put(self, item: LoadedBatch | BaseException) -> None:
        while not self._stopping.is_set():
            try:
                self._queue.put(item, timeout=0.1)
            except queue.Full:
                continue
            return

"""Execution of batches: in parallel on a CPU, halved when memory runs out."""

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import torch

from pipelines.errors import OutOfMemoryError
from pipelines.model.engine.device import is_out_of_memory
from pipelines.wording import plural

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")

_BATCHES_PER_THREAD, _MIN_BATCH_SIZE = 4, 16
"""On a CPU each thread gets several batches, unless they would be too small."""


def limit_batch_size(largest: int, num_items: int, *, device: torch.device) -> int:
    """Limit a batch size so that on a CPU each thread gets several batches."""
    if device.type != "cpu":
        return largest
    num_batches = _BATCHES_PER_THREAD * torch.get_num_threads()
    return min(largest, max(_MIN_BATCH_SIZE, -(-num_items // num_batches)))


def map_batches(
    work: Callable[[Sequence[Item]], list[Result]],
    batches: Sequence[Sequence[Item]],
    *,
    device: torch.device,
) -> Iterator[list[Result]]:
    """Apply `work` to batches; on a CPU in parallel, one thread for each batch.

    Threads that share the operations of one batch synchronize thousands of times a
    second, and all of them wait when another process delays one. With a batch each they
    never wait for one another.

    Args:
        work: Returns a result for each item; may be called by several threads.
        batches: The items of each batch.
        device: Where `work` computes.

    Yields:
        The results of each batch, in order.

    Raises:
        OutOfMemoryError: Memory does not suffice for a single item.
    """
    num_threads = torch.get_num_threads()
    num_workers = min(num_threads, len(batches))
    if num_workers < 2 or device.type != "cpu":
        for batch in batches:
            yield halve_when_out_of_memory(work, batch)
        return
    pool = ThreadPoolExecutor(
        num_workers, initializer=torch.set_num_threads, initargs=(1,)
    )
    try:
        yield from pool.map(partial(halve_when_out_of_memory, work), batches)
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(num_threads)


def halve_when_out_of_memory(
    work: Callable[[Sequence[Item]], list[Result]], items: Sequence[Item]
) -> list[Result]:
    """Apply `work` to all items, or to each half when memory does not suffice.

    Raises:
        OutOfMemoryError: Memory does not suffice for a single item.
    """
    try:
        return work(items)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        if len(items) == 1:
            raise OutOfMemoryError(
                "out of memory with a single sentence",
                hint="a lower translate.max_source_length, or a smaller beam",
            ) from error
    log.warning("out of memory with %s; halving", plural(len(items), "sentence"))
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    middle = len(items) // 2
    return [
        *halve_when_out_of_memory(work, items[:middle]),
        *halve_when_out_of_memory(work, items[middle:]),
    ]

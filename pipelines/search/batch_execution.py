"""How batches are worked on: side by side, and in halves where memory runs out."""

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

_BATCHES_A_THREAD, _LEAST = 4, 16
"""Shares of the work for each thread, as long as a share has so many items."""


def batch_size(most: int, num_items: int, *, device: torch.device) -> int:
    """Items of a batch: `most`, but on a CPU each thread gets several batches."""
    if device.type != "cpu":
        return most
    fair = -(-num_items // (_BATCHES_A_THREAD * torch.get_num_threads()))
    return min(most, max(_LEAST, fair))


def side_by_side(
    work: Callable[[Sequence[Item]], list[Result]],
    batches: Sequence[Sequence[Item]],
    *,
    device: torch.device,
) -> Iterator[list[Result]]:
    """Work on batches; on a CPU on as many at once as there are threads.

    Threads that share each operation of one batch meet thousands of times a second, and
    all of them wait whenever another process holds one up. A batch each they never
    meet.

    Args:
        work: Gives a result for each item; may be called by several threads.
        batches: Of items.
        device: Where the work is done.

    Yields:
        The results of each batch, in order.

    Raises:
        OutOfMemoryError: Memory does not suffice for a single item.
    """
    num_threads = torch.get_num_threads()
    at_once = min(num_threads, len(batches))
    if at_once < 2 or device.type != "cpu":
        for batch in batches:
            yield in_halves(work, batch)
        return
    pool = ThreadPoolExecutor(at_once, initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield from pool.map(partial(in_halves, work), batches)
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(num_threads)


def in_halves(
    work: Callable[[Sequence[Item]], list[Result]], items: Sequence[Item]
) -> list[Result]:
    """Work on items together; where memory does not suffice, on each half by itself.

    Raises:
        OutOfMemoryError: It does not suffice for a single item.
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
    return [*in_halves(work, items[:middle]), *in_halves(work, items[middle:])]

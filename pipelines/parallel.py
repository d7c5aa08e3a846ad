"""An ordered map over items in several processes, with a bounded number in flight.

Owns the process pool and its prompt end; knows nothing of what is mapped. A result
depends on the function and the item, not on the number of processes.
"""

import logging
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from pipelines.errors import S2SError

Item = TypeVar("Item")
Result = TypeVar("Result")

_IN_FLIGHT_PER_WORKER = 2


def num_processes(workers: int, num_items: int) -> int:
    """Number of processes worth starting.

    Args:
        workers: The user's setting; 0 means one per core.
        num_items: Items to map.
    """
    return max(1, min(workers or os.cpu_count() or 1, num_items))


def map_in_order(
    function: Callable[[Item], Result], items: Iterable[Item], *, processes: int
) -> Generator[Result, None, None]:
    """Apply a function to items and yield the results in the items' order.

    Args:
        function: Picklable; it is sent once to each process.
        items: Taken one by one, a few ahead of the results.
        processes: Number of processes; 1 maps in this process.

    Raises:
        S2SError: A process died, for lack of memory for instance.
        Exception: Whatever the function raised.
    """
    if processes == 1:
        yield from map(function, items)
        return
    other_children = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(
        processes,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start_worker,
        initargs=(function,),
    )
    try:
        yield from _results(pool, iter(items), processes * _IN_FLIGHT_PER_WORKER)
    except BrokenProcessPool as error:
        _terminate(pool, keep=other_children)
        raise S2SError(
            "a worker process died, perhaps for lack of memory",
            hint="fewer workers or a smaller preprocess.part_size need less",
        ) from error
    except BaseException:
        _terminate(pool, keep=other_children)
        raise
    pool.shutdown()


def _results(
    pool: ProcessPoolExecutor, items: Iterator[Any], limit: int
) -> Iterator[Any]:
    futures: deque[Future[Any]] = deque(
        pool.submit(_call, item) for item in islice(items, limit)
    )
    while futures:
        yield futures.popleft().result()
        futures.extend(pool.submit(_call, item) for item in islice(items, 1))


def _terminate(pool: ProcessPoolExecutor, *, keep: set[BaseProcess]) -> None:
    """Stop the pool's processes at once: what they were writing is discarded anyway."""
    for process in set(multiprocessing.active_children()) - keep:
        process.terminate()
    pool.shutdown(cancel_futures=True)


# In a worker process -----------------------------------------------------------------

_function: Callable[[Any], Any] | None = None


def _start_worker(function: Callable[[Any], Any]) -> None:
    global _function  # the only function that this process will ever call
    _function = function
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles it
    logging.getLogger().addHandler(logging.NullHandler())  # the parent logs
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    """Exit when the parent does, even if it was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _call(item: Any) -> Any:
    assert _function is not None
    return _function(item)

"""An ordered map over parts in several processes, with a bounded number in flight.

Owns the pool and its prompt end; knows nothing of what is mapped. A result never
depends on the number of processes, only on the function and the item.
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
    """How many processes are worth starting.

    Args:
        workers: As set by the user; 0 means one for each core.
        num_items: Items to be mapped.
    """
    return max(1, min(workers or os.cpu_count() or 1, num_items))


def map_in_order(
    function: Callable[[Item], Result], items: Iterable[Item], *, processes: int
) -> Generator[Result, None, None]:
    """Apply a function to items and yield the results in the items' order.

    Args:
        function: Picklable; it is sent once to each process.
        items: Taken one by one, a few ahead of the results.
        processes: 1 works in this process.

    Raises:
        S2SError: A process died, for lack of memory for instance. What the function
            raises is raised here.
    """
    if processes == 1:
        yield from map(function, items)
        return
    bystanders = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(
        processes,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_install,
        initargs=(function,),
    )
    try:
        yield from _results(pool, iter(items), processes * _IN_FLIGHT_PER_WORKER)
    except BrokenProcessPool as error:
        _end(pool, bystanders)
        raise S2SError(
            "a worker process died, perhaps for lack of memory",
            hint="fewer workers or a smaller preprocess.part_size need less",
        ) from error
    except BaseException:
        _end(pool, bystanders)
        raise
    pool.shutdown()


def _results(
    pool: ProcessPoolExecutor, items: Iterator[Any], limit: int
) -> Iterator[Any]:
    waiting: deque[Future[Any]] = deque(
        pool.submit(_call, item) for item in islice(items, limit)
    )
    while waiting:
        yield waiting.popleft().result()
        waiting.extend(pool.submit(_call, item) for item in islice(items, 1))


def _end(pool: ProcessPoolExecutor, bystanders: set[BaseProcess]) -> None:
    """Stop at once: what the processes were writing is thrown away anyway."""
    for process in set(multiprocessing.active_children()) - bystanders:
        process.terminate()
    pool.shutdown(cancel_futures=True)


# In a worker process -----------------------------------------------------------------

_function: Callable[[Any], Any] | None = None


def _install(function: Callable[[Any], Any]) -> None:
    global _function  # a process has one function for all its life
    _function = function
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    logging.getLogger().addHandler(logging.NullHandler())  # the parent has said it
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    """End with the parent, even where it was killed without a word."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _call(item: Any) -> Any:
    assert _function is not None
    return _function(item)

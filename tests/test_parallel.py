import itertools
import multiprocessing
import os
import time
from contextlib import closing

import pytest

from pipelines.errors import CorpusError, S2SError
from pipelines.parallel import map_in_order, num_processes


def square(number: int) -> int:
    return number * number


def refuse_three(number: int) -> int:
    if number == 3:
        raise CorpusError("three", hint="not three")
    return number


def die(number: int) -> int:
    os._exit(9)


def slow(number: int) -> int:
    time.sleep(0 if number == 0 else 60)
    return number


@pytest.mark.parametrize(
    ("workers", "num_items", "expected"), [(4, 2, 2), (2, 9, 2), (1, 9, 1), (3, 0, 1)]
)
def test_no_more_processes_than_items(workers, num_items, expected):
    assert num_processes(workers, num_items) == expected


def test_zero_workers_mean_one_for_each_core():
    assert num_processes(0, 10_000) == os.cpu_count()


@pytest.mark.parametrize("processes", [1, 2])
def test_results_come_in_the_order_of_the_items(processes):
    found = list(map_in_order(square, iter(range(20)), processes=processes))
    assert found == [n * n for n in range(20)]


@pytest.mark.parametrize("processes", [1, 2])
def test_an_endless_stream_is_taken_a_few_items_ahead(processes):
    stream = itertools.count()
    with closing(map_in_order(square, stream, processes=processes)) as results:
        assert list(itertools.islice(results, 10)) == [n * n for n in range(10)]
    assert next(stream) <= 10 + 2 * processes


@pytest.mark.parametrize("processes", [1, 2])
def test_an_error_keeps_its_hint_and_ends_the_pool(processes):
    with pytest.raises(CorpusError, match="three") as caught:
        list(map_in_order(refuse_three, range(100), processes=processes))
    assert caught.value.hint == "not three"
    assert not multiprocessing.active_children()


def test_a_dead_process_is_an_error_and_not_a_hang():
    with pytest.raises(S2SError, match="a worker process died"):
        list(map_in_order(die, range(4), processes=2))


def test_leaving_early_does_not_wait_for_the_work_in_flight():
    start = time.monotonic()
    with closing(map_in_order(slow, range(8), processes=2)) as results:
        assert next(results) == 0
    assert time.monotonic() - start < 30
    assert not multiprocessing.active_children()

import itertools
import multiprocessing
import os
import time
from contextlib import closing
from functools import partial
from pathlib import Path

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


def finish_late(folder: Path, number: int) -> int:
    """Return at once for item 0; leave a file a minute later for the others."""
    if number:
        time.sleep(60)
        (folder / str(number)).touch()
    return number


@pytest.mark.parametrize(
    ("workers", "num_items", "expected"), [(4, 2, 2), (2, 9, 2), (1, 9, 1), (3, 0, 1)]
)
def test_no_more_processes_than_items(workers, num_items, expected):
    assert num_processes(workers, num_items) == expected


def test_zero_workers_mean_one_per_core():
    assert num_processes(0, 10_000) == os.cpu_count()


@pytest.mark.parametrize("processes", [1, 2])
def test_results_come_in_the_order_of_the_items(processes):
    results = list(map_in_order(square, iter(range(20)), processes=processes))
    assert results == [n * n for n in range(20)]


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


def test_a_process_that_dies_is_an_error_and_not_a_hang():
    with pytest.raises(S2SError, match="a worker process died"):
        list(map_in_order(die, range(4), processes=2))


def test_leaving_early_does_not_wait_for_the_work_in_flight(tmp_path):
    function = partial(finish_late, tmp_path)
    with closing(map_in_order(function, range(8), processes=2)) as results:
        assert next(results) == 0
    assert not list(tmp_path.iterdir())
    assert not multiprocessing.active_children()

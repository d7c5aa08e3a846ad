"""Two gloo processes that train together: what they agree on, and when."""

import os
import signal
import socket
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch

from pipelines.artifacts.checkpoint_folder import checkpoints
from pipelines.distributed.process_group import (
    AsyncAllReduceMax,
    DistributedContext,
    joined,
)
from pipelines.errors import Interrupted
from pipelines.progress import SILENT
from tests.trainer.tiny import TRAIN, make_trainer, weights, write_data

pytestmark = pytest.mark.slow

CONFIG = TRAIN.model_copy(update={"max_epochs": 2.0, "keep_last": 3})


def run_in_two_processes(function, folder):
    """Return the results of `function(distributed, folder)` in both, by rank."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(_join, r, port, function, folder) for r in range(2)]
        return [future.result(timeout=120) for future in futures]


def _join(rank, port, function, folder):
    torch.set_num_threads(1)
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", **address}
    with joined("cpu") as distributed:
        found = function(distributed, folder)
    assert distributed.control is None
    assert not [name for name in thread_names() if "gloo" in name]
    return found


def thread_names():
    """Threads of this process, those of libraries too."""
    tasks = Path("/proc/self/task")
    if not tasks.is_dir():  # not on Linux
        return []
    return [(task / "comm").read_text().strip() for task in tasks.iterdir()]


class Signal:
    """Progress that sends this process a signal.

    Args:
        number: The signal.
        step: Send it during this update,
        task: or when this task begins.
    """

    def __init__(self, number, *, step=None, task=None):
        self._number, self._step, self._task = number, step, task
        self._num_done = 0

    @contextmanager
    def task(self, description, *, total=None, unit="lines"):
        if description == self._task:
            os.kill(os.getpid(), self._number)
        with SILENT.task(description) as silent:
            yield self if description == "train" else silent

    def advance(self, amount=1, **figures):
        self._num_done += amount
        if amount and self._num_done == self._step:
            os.kill(os.getpid(), self._number)


def train(distributed, folder, name, progress=SILENT, **settings):
    """Train in one of two processes and return what the tests look at."""
    config = CONFIG.model_copy(update=settings)
    trainer = make_trainer(
        folder, name, config, progress=progress, distributed=distributed
    )
    try:
        trainer.fit()
        status = 0
    except Interrupted as error:
        status = error.exit_status
    paths = checkpoints(folder / name / "checkpoints")
    steps = distributed.broadcast_object([int(path.name[5:]) for path in paths])
    return status, trainer.position.step, steps, weights(trainer).tolist()


def train_often(distributed, folder):
    """Trainings of both processes; the signals are sent to the second one only."""

    def signal_second(number, **when):
        return Signal(number, **when) if distributed.rank == 1 else SILENT

    terminate = signal_second(signal.SIGTERM, step=6)
    in_last_update = signal_second(signal.SIGINT, step=20)
    in_last_validation = signal_second(signal.SIGINT, task="validate")
    save = signal_second(signal.SIGUSR1, step=6)
    return {
        "whole": train(distributed, folder, "whole"),
        "stopped": train(distributed, folder, "run", terminate),
        "resumed": train(distributed, folder, "run"),
        "in the last update": train(distributed, folder, "update", in_last_update),
        "in the last validation": train(
            distributed, folder, "valid", in_last_validation, validate_every_epochs=2.0
        ),
        "saved": train(distributed, folder, "saved", save),
        "late": train(distributed, folder, "late", max_minutes=1e-6),
        "late again": train(distributed, folder, "late", max_minutes=1e-6),
    }


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What became of the trainings, after a check that the processes agree."""
    folder = tmp_path_factory.mktemp("together")
    write_data(folder)
    first, second = run_in_two_processes(train_often, folder)
    assert first == second
    return first


def test_a_signal_to_one_process_stops_both_and_they_resume(found):
    assert found["whole"][:3] == (0, 20, [10, 20])
    # The first process receives it during the next update.
    assert found["stopped"][:3] == (143, 7, [7])
    assert found["resumed"][:3] == (0, 20, [7, 10, 20])
    assert found["resumed"][3] == found["whole"][3]


@pytest.mark.parametrize("when", ["in the last update", "in the last validation"])
def test_a_signal_at_the_end_stops_both_after_training(found, when):
    status, step, steps, _ = found[when]
    assert (status, step, steps[-1]) == (130, 20, 20)


def test_a_request_to_save_is_met_once(found):
    assert found["saved"][:3] == (0, 20, [7, 10, 20])
    assert found["saved"][3] == found["whole"][3]


def test_max_minutes_ends_both_at_the_same_step_for_good(found):
    assert found["late"][:3] == (0, 2, [2])
    assert found["late again"] == found["late"]


def exchange(distributed, folder):
    """Exchange values; the second process begins when the first has returned."""
    returned, maxima = folder / "returned", AsyncAllReduceMax(distributed)
    deadline = time.monotonic() + 20
    while (
        distributed.rank == 1 and not returned.exists() and time.monotonic() < deadline
    ):
        time.sleep(0.01)
    in_time = distributed.rank == 0 or returned.exists()
    first = maxima.exchange(distributed.rank, 1 - distributed.rank, 0.5)
    returned.touch()
    second = maxima.exchange(7, 0, 0)
    return in_time, first, second, maxima.wait(), maxima.wait()


def test_maxima_come_one_call_late_and_no_process_waits(tmp_path):
    expected = (True, [0, 0, 0], [1, 1, 0.5], [7, 0, 0], None)
    assert run_in_two_processes(exchange, tmp_path) == [expected, expected]


def test_a_single_process_has_its_own_values_at_once():
    maxima = AsyncAllReduceMax(DistributedContext())
    assert maxima.exchange(1, 0.5) == [1, 0.5]
    assert maxima.wait() is None
    assert DistributedContext().all_reduce_max(3) == [3]

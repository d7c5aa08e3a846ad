"""Training in two gloo processes: signals, limits and checkpoints hold for both."""

import os
import signal
from contextlib import contextmanager

import pytest

from pipelines.artifacts.checkpoint_folder import checkpoints, step_of
from pipelines.errors import Interrupted
from pipelines.progress import SILENT
from tests.distributed.two_processes import run_in_two_processes
from tests.trainer.tiny import TRAIN, make_trainer, weights, write_data

pytestmark = pytest.mark.slow

CONFIG = TRAIN.model_copy(update={"max_epochs": 2.0, "keep_last": 3})


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
    """Train in one of two processes.

    Returns:
        Exit status, last step, steps of the checkpoints, weights.
    """
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
    steps = distributed.broadcast_object([step_of(path) for path in paths])
    return status, trainer.state.step, steps, weights(trainer).tolist()


def run_trainings(distributed, folder):
    """Run trainings in both processes; rank 1 alone receives the signals."""

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
def trainings(tmp_path_factory):
    """Results of the trainings, which are the same in both processes."""
    folder = tmp_path_factory.mktemp("distributed")
    write_data(folder)
    first, second = run_in_two_processes(run_trainings, folder)
    assert first == second
    return first


def test_a_signal_to_one_process_stops_both_and_they_resume(trainings):
    assert trainings["whole"][:3] == (0, 20, [10, 20])
    # Rank 0 learns of it during the next update.
    assert trainings["stopped"][:3] == (143, 7, [7])
    assert trainings["resumed"][:3] == (0, 20, [7, 10, 20])
    assert trainings["resumed"][3] == trainings["whole"][3]


@pytest.mark.parametrize("when", ["in the last update", "in the last validation"])
def test_a_signal_at_the_end_stops_both_after_training(trainings, when):
    status, step, steps, _ = trainings[when]
    assert (status, step, steps[-1]) == (130, 20, 20)


def test_a_request_to_save_writes_one_checkpoint(trainings):
    assert trainings["saved"][:3] == (0, 20, [7, 10, 20])
    assert trainings["saved"][3] == trainings["whole"][3]


def test_max_minutes_ends_both_at_the_same_step_and_nothing_resumes(trainings):
    assert trainings["late"][:3] == (0, 2, [2])
    assert trainings["late again"] == trainings["late"]

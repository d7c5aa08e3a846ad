import json

import pytest

from pipelines.trainer.train_state import TrainState
from pipelines.trainer.validation import Validation


def test_what_is_saved_is_read():
    position = TrainState(
        step=70,
        epoch=1,
        batch=20,
        steps_per_epoch=50,
        ahead=-30,
        best=Validation(3.5, None),
        best_step=60,
        scores={60: 3.5},
    )
    assert TrainState.from_info(json.loads(json.dumps(position.to_info()))) == position


@pytest.mark.parametrize(
    ("batch", "num_batches", "expected"),
    [
        (10, 20, (4, 24)),  # 60 of 50 are 1.2 epochs
        (10, 100, (20, 120)),
        (10, 50, (10, 60)),
        (1, 20, (0, 24)),  # rounded down
        (49, 20, (19, 24)),
        (51, 20, (19, 24)),  # epochs differ by a batch or two
    ],
)
def test_another_plan_goes_on_at_the_same_part_of_the_epoch(
    batch, num_batches, expected
):
    before = TrainState(step=60, epoch=1, batch=batch, steps_per_epoch=50)
    found = before.replanned(steps_per_epoch=num_batches, num_batches=num_batches)
    assert (found.batch, found.step + found.ahead) == expected
    assert (found.step, found.epoch) == (60, 1)


def test_a_plan_can_change_twice():
    first = TrainState(step=60, epoch=1, batch=10, steps_per_epoch=50)
    second = first.replanned(steps_per_epoch=20, num_batches=20)
    second.step += 6  # to epoch 1.5
    third = second.replanned(steps_per_epoch=100, num_batches=100)
    assert third.step + third.ahead == 150


def test_a_fork_has_measured_nothing_yet():
    before = TrainState(
        step=9,
        epoch=1,
        batch=2,
        steps_per_epoch=7,
        ahead=1,
        elapsed_s=3.0,
        num_words=4,
        validations_without_gain=2,
        best=Validation(2.0),
        best_step=8,
        scores={8: 2.0},
    )
    assert before.at_fork() == TrainState(
        step=9, epoch=1, batch=2, steps_per_epoch=7, ahead=1
    )

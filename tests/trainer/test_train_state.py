import json
import subprocess
import sys

import pytest

from pipelines.trainer.train_state import TrainState, ValidationResult


def test_a_saved_state_is_read_back():
    state = TrainState(
        step=70,
        epoch=1,
        batch=20,
        steps_per_epoch=50,
        ahead=-30,
        best=ValidationResult(3.5, None),
        best_step=60,
        scores={60: 3.5},
    )
    assert TrainState.from_info(json.loads(json.dumps(state.to_info()))) == state


def test_an_update_is_counted_and_the_last_one_begins_the_next_epoch():
    state = TrainState(steps_per_epoch=2)
    state.advance(num_words=5, ends_epoch=False)
    assert (state.step, state.epoch, state.batch, state.num_words) == (1, 0, 1, 5)
    state.advance(num_words=7, ends_epoch=True)
    assert (state.step, state.epoch, state.batch, state.num_words) == (2, 1, 0, 12)


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
def test_other_batches_keep_the_fraction_of_the_epoch(batch, num_batches, expected):
    before = TrainState(step=60, epoch=1, batch=batch, steps_per_epoch=50)
    after = before.rebatched(steps_per_epoch=num_batches, num_batches=num_batches)
    assert (after.batch, after.schedule_step) == expected
    assert (after.step, after.epoch) == (60, 1)


def test_batches_can_change_twice():
    first = TrainState(step=60, epoch=1, batch=10, steps_per_epoch=50)
    second = first.rebatched(steps_per_epoch=20, num_batches=20)
    second.step += 6  # to epoch 1.5
    third = second.rebatched(steps_per_epoch=100, num_batches=100)
    assert third.schedule_step == 150


def test_a_fork_keeps_the_place_in_the_data_and_no_measurements():
    before = TrainState(
        step=9,
        epoch=1,
        batch=2,
        steps_per_epoch=7,
        ahead=1,
        elapsed_s=3.0,
        num_words=4,
        validations_without_gain=2,
        best=ValidationResult(2.0),
        best_step=8,
        scores={8: 2.0},
    )
    assert before.at_fork() == TrainState(
        step=9, epoch=1, batch=2, steps_per_epoch=7, ahead=1
    )


@pytest.mark.parametrize(
    ("result", "best", "by", "expected"),
    [
        (ValidationResult(9.0), None, "perplexity", True),
        (ValidationResult(2.0, 1.0), ValidationResult(3.0, 5.0), "perplexity", True),
        (ValidationResult(2.0, 1.0), ValidationResult(3.0, 5.0), "bleu", False),
        (ValidationResult(2.0, 6.0), ValidationResult(1.0, 5.0), "bleu", True),
        (ValidationResult(2.0, 5.0), ValidationResult(2.0, 5.0), "bleu", False),
        (ValidationResult(2.0), ValidationResult(2.0), "perplexity", False),
        (ValidationResult(2.0), ValidationResult(9.0, 1.0), "bleu", False),
    ],
)
def test_the_better_result_wins_and_the_earlier_one_a_tie(result, best, by, expected):
    assert result.better_than(best, by) is expected


def test_the_state_is_read_without_torch():
    code = "import sys, pipelines.trainer.train_state; print('torch' in sys.modules)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"

import pytest

from pipelines.config import TrainConfig
from pipelines.estimate.rate_changes import rate_changes
from pipelines.trainer.schedule import learning_rate

PAPER_EPOCH = 93_750
HALF = 46_875


def rates(changes):
    return [(change.after_updates, change.learning_rate) for change in changes]


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (
            5.0,
            [
                (0, 0.7),
                (10 * HALF, 0.35),
                (11 * HALF, 0.175),
                (12 * HALF, 0.0875),
                (13 * HALF, 0.04375),
                (14 * HALF, 0.021875),
            ],
        ),
        (
            5.5,
            [
                (0, 0.7),
                (11 * HALF, 0.35),
                (12 * HALF, 0.175),
                (13 * HALF, 0.0875),
                (14 * HALF, 0.04375),
            ],
        ),
    ],
)
def test_both_readings_of_the_paper_with_their_updates(after, expected):
    config = TrainConfig(halve_after_epochs=after)
    changes = rate_changes(config, steps_per_epoch=PAPER_EPOCH, total_steps=15 * HALF)
    assert rates(changes) == expected
    assert [c.epoch for c in changes[1:]] == [n / HALF / 2 for n, _ in expected[1:]]


@pytest.mark.parametrize("after_halves", [10, 11])
@pytest.mark.parametrize("steps_per_epoch", [4, 7, 188])
def test_every_update_of_7_and_a_half_epochs_has_the_rate_of_plain_arithmetic(
    after_halves, steps_per_epoch
):
    total = -(-15 * steps_per_epoch // 2)
    config = TrainConfig(halve_after_epochs=after_halves / 2)
    changes = rate_changes(config, steps_per_epoch=steps_per_epoch, total_steps=total)
    for step in range(total):
        half_epochs = 2 * step // steps_per_epoch  # whole numbers: exact
        plain = 0.7 / 2 ** max(0, half_epochs - after_halves + 1)
        listed = [r for r in changes if r.after_updates <= step][-1].learning_rate
        used = learning_rate(
            step, config, steps_per_epoch=steps_per_epoch, total_steps=total
        )
        assert listed == used == plain, step


def test_thousands_of_rate_changes_are_cut_short():
    config = TrainConfig(halve_after_epochs=0, halve_every_epochs=0.01)
    changes = rate_changes(config, steps_per_epoch=100, total_steps=750)
    assert len(changes) <= 40


def test_other_schedules_are_listed_at_six_points():
    config = TrainConfig(schedule="cosine", warmup_steps=50, learning_rate=2.0)
    changes = rate_changes(config, steps_per_epoch=100, total_steps=800)
    assert [change.after_updates for change in changes] == [0, 50, 200, 400, 600, 799]
    assert changes[0].learning_rate == 2.0 / 50
    assert changes[1].learning_rate == 2.0


def test_a_training_of_one_update_has_one_rate():
    changes = rate_changes(TrainConfig(), steps_per_epoch=1, total_steps=1)
    assert rates(changes) == [(0, 0.7)]

import pytest

from pipelines.config import TrainConfig
from pipelines.trainer.schedule import last_step, learning_rate


def rate(step, config, steps_per_epoch=100, total_steps=750):
    return learning_rate(
        step, config, steps_per_epoch=steps_per_epoch, total_steps=total_steps
    )


@pytest.mark.parametrize(
    ("epoch", "expected"),
    [
        (0.0, 0.7),
        (4.99, 0.7),
        (5.0, 0.35),
        (5.49, 0.35),
        (5.5, 0.175),
        (6.0, 0.0875),
        (6.5, 0.04375),
        (7.0, 0.021875),
        (7.49, 0.021875),
    ],
)
def test_halving_has_the_papers_rates(epoch, expected):
    assert rate(round(epoch * 100), TrainConfig()) == pytest.approx(expected)


@pytest.mark.parametrize("steps_per_epoch", [3, 7, 93_751])
def test_halving_comes_at_the_first_step_that_reaches_the_boundary(steps_per_epoch):
    boundary = -(-11 * steps_per_epoch // 2)  # epoch 5.5, rounded up
    before = rate(boundary - 1, TrainConfig(), steps_per_epoch)
    after = rate(boundary, TrainConfig(), steps_per_epoch)
    assert (before, after) == pytest.approx((0.35, 0.175))


def test_halving_may_start_half_an_epoch_later():
    config = TrainConfig(halve_after_epochs=5.5)
    assert rate(549, config) == 0.7
    assert rate(550, config) == pytest.approx(0.35)


def test_warmup_rises_in_a_straight_line():
    config = TrainConfig(warmup_steps=4, schedule="constant", learning_rate=1.0)
    assert [rate(s, config) for s in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_cosine_falls_from_the_peak_to_its_floor():
    config = TrainConfig(warmup_steps=50, schedule="cosine", learning_rate=2.0)
    assert rate(50, config) == pytest.approx(2.0)
    assert rate(400, config) == pytest.approx(1.02)
    assert rate(750, config) == pytest.approx(0.04)
    assert rate(9999, config) == pytest.approx(0.04)


def test_inverse_sqrt_halves_when_the_step_is_four_times_the_warmup():
    config = TrainConfig(warmup_steps=100, schedule="inverse_sqrt", learning_rate=1.0)
    assert rate(399, config) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("settings", "ahead", "expected"),
    [
        ({"max_epochs": 2.5}, 0, 18),  # 17.5 rounded up
        ({"max_epochs": 2.5}, 4, 14),  # max_epochs limits step + ahead
        ({"max_epochs": 2.5}, -4, 22),
        ({"max_epochs": 2.5, "max_steps": 9}, 4, 9),
        ({"max_epochs": 2.5, "max_steps": 99}, 0, 18),
    ],
)
def test_the_last_step_is_the_first_limit(settings, ahead, expected):
    config = TrainConfig(**settings)
    assert last_step(config, steps_per_epoch=7, ahead=ahead) == expected

import pytest
import torch
from torch import nn

from pipelines.config import TrainConfig
from pipelines.errors import DivergenceError
from pipelines.trainer.optimizer import (
    WeightAverage,
    build_optimizer,
    clip_gradient,
    require_finite,
)


def parameter(*gradient):
    p = nn.Parameter(torch.zeros(len(gradient)))
    p.grad = torch.tensor(gradient)
    return p


def test_gradient_beyond_the_threshold_is_scaled_to_it():
    parameters = [parameter(6.0), parameter(0.0, 8.0)]
    assert clip_gradient(parameters, threshold=5.0).item() == pytest.approx(10.0)
    assert parameters[0].grad.tolist() == pytest.approx([3.0])
    assert parameters[1].grad.tolist() == pytest.approx([0.0, 4.0])


@pytest.mark.parametrize("threshold", [5.0, 0.0])
def test_gradient_within_the_threshold_or_without_one_stays(threshold):
    parameters = [parameter(3.0, 4.0)] if threshold else [parameter(30.0, 40.0)]
    before = parameters[0].grad.clone()
    clip_gradient(parameters, threshold=threshold)
    torch.testing.assert_close(parameters[0].grad, before)


def test_sgd_is_plain():
    p = parameter(1.0, -2.0)
    build_optimizer([p], TrainConfig(learning_rate=0.5)).step()
    assert p.tolist() == [-0.5, 1.0]


@pytest.mark.parametrize("kind", ["adam", "adamw"])
def test_adam_moves_by_the_learning_rate_at_first(kind):
    p = parameter(1.0, -2.0)
    config = TrainConfig(optimizer=kind, learning_rate=0.5)
    build_optimizer([p], config).step()
    assert p.tolist() == pytest.approx([-0.5, 0.5])


@pytest.mark.parametrize(("loss", "norm"), [(float("nan"), 1.0), (1.0, float("inf"))])
def test_a_number_that_is_not_finite_stops_training(loss, norm):
    with pytest.raises(DivergenceError, match="step 7") as caught:
        require_finite(loss, norm, step=7)
    assert "learning_rate" in caught.value.hint


def test_average_follows_and_swaps_back():
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 0.0)
    average = WeightAverage(model, decay=0.5)
    nn.init.constant_(model.weight, 8.0)
    average.update(step=1000)
    assert average.tensors[0].item() == pytest.approx(4.0)
    average.swap()
    assert model.weight.item() == pytest.approx(4.0)
    average.swap()
    assert model.weight.item() == pytest.approx(8.0)


def test_average_forgets_its_start():
    model = nn.Linear(1, 1, bias=False)
    average = WeightAverage(model, decay=0.999)
    nn.init.constant_(model.weight, 1.0)
    for step in range(1, 200):
        average.update(step)
    assert average.tensors[0].item() == pytest.approx(1.0, abs=1e-3)

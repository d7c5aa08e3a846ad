import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, linear

from pipelines.model import loss as module
from pipelines.model.loss import summed_cross_entropy


@pytest.fixture(params=[1, 3, 1000], ids="rows per chunk: {}".format)
def chunk_rows(request, monkeypatch):
    monkeypatch.setattr(module, "CPU_CHUNK_ROWS", request.param)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("with_bias", [True, False])
def test_value_and_gradients_equal_torchs_cross_entropy(
    chunk_rows, smoothing, with_bias
):
    torch.manual_seed(1)
    features = torch.randn(8, 5, requires_grad=True)
    weight = torch.randn(11, 5, requires_grad=True)
    bias = torch.randn(11, requires_grad=True) if with_bias else None
    targets = torch.randint(11, (8,))
    inputs = [t for t in (features, weight, bias) if t is not None]
    loss, nll = summed_cross_entropy(
        features, targets, weight, bias, label_smoothing=smoothing
    )
    gradients = torch.autograd.grad(loss * 0.25, inputs)
    logits = linear(features, weight, bias)
    expected = cross_entropy(
        logits, targets, reduction="sum", label_smoothing=smoothing
    )
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(nll, cross_entropy(logits, targets, reduction="sum"))
    for found, wanted in zip(
        gradients, torch.autograd.grad(expected * 0.25, inputs), strict=True
    ):
        torch.testing.assert_close(found, wanted)


def test_value_is_that_of_a_few_lines_of_numpy():
    generator = np.random.default_rng(1)
    features, weight = generator.normal(size=(6, 4)), generator.normal(size=(9, 4))
    bias, targets = generator.normal(size=9), np.array([0, 8, 3, 3, 1, 2])
    logits = features @ weight.T + bias
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = -np.log(chances[np.arange(6), targets]).sum()
    loss, _ = summed_cross_entropy(
        torch.tensor(features),
        torch.tensor(targets),
        torch.tensor(weight),
        torch.tensor(bias),
    )
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_a_target_of_hardly_any_chance_has_its_true_cost():
    weight = torch.tensor([[0.0], [200.0]], requires_grad=True)
    loss, _ = summed_cross_entropy(torch.ones(1, 1), torch.tensor([0]), weight, None)
    assert loss.item() == pytest.approx(200.0)


def test_without_gradients_nothing_is_kept():
    with torch.no_grad():
        loss, nll = summed_cross_entropy(
            torch.randn(3, 2), torch.tensor([0, 1, 2]), torch.randn(4, 2), None
        )
    assert loss.item() == pytest.approx(nll.item())
    assert not loss.requires_grad


def test_no_rows_cost_nothing():
    loss, _ = summed_cross_entropy(
        torch.zeros(0, 2), torch.zeros(0, dtype=torch.long), torch.randn(4, 2), None
    )
    assert loss.item() == 0.0


def test_bf16_autocast_stays_near_fp32():
    torch.manual_seed(1)
    features, weight = torch.randn(6, 16), torch.randn(9, 16, requires_grad=True)
    targets = torch.randint(9, (6,))
    exact, _ = summed_cross_entropy(features, targets, weight, None)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough, _ = summed_cross_entropy(features, targets, weight, None)
    assert rough.dtype is torch.float32
    assert rough.item() == pytest.approx(exact.item(), rel=0.02)
    (gradient,) = torch.autograd.grad(rough, weight)
    assert gradient.dtype is torch.float32

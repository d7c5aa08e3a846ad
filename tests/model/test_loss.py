import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, linear

from pipelines.model import loss as module
from pipelines.model.engine.matmul import Matmul
from pipelines.model.loss import summed_cross_entropy
from tests.engines import BACKENDS, BF16, FP32, MATMUL


@pytest.fixture(params=[1, 3, 1000], ids="rows per chunk: {}".format)
def chunk_rows(request, monkeypatch):
    monkeypatch.setattr(module, "CPU_CHUNK_ROWS", request.param)


@pytest.mark.parametrize("name", FP32)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("with_bias", [True, False])
def test_value_and_gradients_equal_torchs_cross_entropy(
    chunk_rows, name, smoothing, with_bias
):
    torch.manual_seed(1)
    features = torch.randn(8, 5, requires_grad=True)
    weight = torch.randn(11, 5, requires_grad=True)
    bias = torch.randn(11, requires_grad=True) if with_bias else None
    targets = torch.randint(11, (8,))
    inputs = [t for t in (features, weight, bias) if t is not None]
    loss, nll = summed_cross_entropy(
        features, targets, weight, bias, Matmul(FP32[name]), label_smoothing=smoothing
    )
    gradients = torch.autograd.grad(loss * 0.25, inputs)
    logits = linear(features, weight, bias)
    expected = cross_entropy(
        logits, targets, reduction="sum", label_smoothing=smoothing
    )
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(nll, cross_entropy(logits, targets, reduction="sum"))
    expected_gradients = torch.autograd.grad(expected * 0.25, inputs)
    torch.testing.assert_close(gradients, expected_gradients)


def test_the_value_equals_a_few_lines_of_numpy():
    generator = np.random.default_rng(1)
    features, weight = generator.normal(size=(6, 4)), generator.normal(size=(9, 4))
    bias, targets = generator.normal(size=9), np.array([0, 8, 3, 3, 1, 2])
    logits = features @ weight.T + bias
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = -np.log(probabilities[np.arange(6), targets]).sum()
    loss, _ = summed_cross_entropy(
        torch.tensor(features),
        torch.tensor(targets),
        torch.tensor(weight),
        torch.tensor(bias),
        MATMUL,
    )
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_a_very_improbable_target_has_its_true_loss():
    weight = torch.tensor([[0.0], [200.0]], requires_grad=True)
    loss, _ = summed_cross_entropy(
        torch.ones(1, 1), torch.tensor([0]), weight, None, MATMUL
    )
    assert loss.item() == pytest.approx(200.0)


@pytest.mark.parametrize("name", BACKENDS)
def test_without_gradients_none_is_allocated(chunk_rows, name, monkeypatch):
    """Weights that need a gradient in training need none in validation."""
    torch.manual_seed(1)
    features, weight = torch.randn(9, 16), torch.randn(40, 16, requires_grad=True)
    arguments = features, torch.arange(9), weight, None, Matmul(BACKENDS[name])
    _, expected = summed_cross_entropy(*arguments)
    monkeypatch.delattr(module._Softmax, "allocate_gradients")
    with torch.no_grad():
        loss, nll = summed_cross_entropy(*arguments)
    assert not loss.requires_grad
    assert loss.item() == pytest.approx(nll.item())
    assert nll.item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_loss_of_no_rows_is_zero():
    loss, _ = summed_cross_entropy(
        torch.zeros(0, 2),
        torch.zeros(0, dtype=torch.long),
        torch.randn(4, 2),
        None,
        MATMUL,
    )
    assert loss.item() == 0.0


def confident(probability, *, num_rows=64, num_features=256, num_types=1000):
    """Features, targets and weights of rows that give their target a probability."""
    torch.manual_seed(1)
    weight = 0.1 * torch.randn(num_types, num_features, dtype=torch.float64)
    targets = torch.randint(num_types, (num_rows,))
    features = torch.randn(num_rows, num_features, dtype=torch.float64)
    low, high = torch.zeros(num_rows, 1), torch.full((num_rows, 1), 50.0)
    for _ in range(60):  # how far to move towards the target's weights
        middle = (low + high) / 2
        logits = (features + middle * weight[targets]) @ weight.T
        below = logits.softmax(1).gather(1, targets[:, None]) < probability
        low, high = low.where(~below, middle), high.where(below, middle)
    return features + low * weight[targets], targets, weight


@pytest.mark.parametrize("probability", [0.5, 0.9, 0.99, 0.999])
@pytest.mark.parametrize("name", BACKENDS)
def test_a_confident_word_has_its_true_loss_and_gradient(name, probability):
    """1 - p has no digits in bfloat16; the error of plain autocast is 1.6 to 2.0 %."""
    features, targets, weight = confident(probability)
    exact = [features.clone().requires_grad_(), weight.clone().requires_grad_()]
    expected = cross_entropy(linear(*exact), targets, reduction="sum")
    expected.backward()
    actual = [t.float().detach().requires_grad_() for t in (features, weight)]
    loss, nll = summed_cross_entropy(
        actual[0], targets, actual[1], None, Matmul(BACKENDS[name])
    )
    loss.backward()
    with torch.no_grad():
        _, validated = summed_cross_entropy(
            actual[0], targets, actual[1], None, Matmul(BACKENDS[name])
        )
    limit = 0.025 if name in BF16 else 5e-4
    for near, there in zip(actual, exact, strict=True):
        assert (near.grad - there.grad).norm() <= limit * there.grad.norm()
    for value in (loss, nll, validated):
        assert value.item() == pytest.approx(expected.item(), rel=limit)


@pytest.mark.parametrize("name", BF16)
def test_the_bf16_loss_is_near_the_fp32_loss(chunk_rows, name):
    torch.manual_seed(1)
    features, weight = torch.randn(6, 16), torch.randn(9, 16, requires_grad=True)
    bias, targets = torch.randn(9), torch.randint(9, (6,))
    exact, _ = summed_cross_entropy(features, targets, weight, bias, MATMUL)
    rough, _ = summed_cross_entropy(features, targets, weight, bias, Matmul(BF16[name]))
    assert rough.dtype is torch.float32
    assert rough.item() == pytest.approx(exact.item(), rel=0.02)
    (gradient,) = torch.autograd.grad(rough, weight)
    assert gradient.dtype is torch.float32

"""Matrix products: every backend multiplies, whatever its number of rows."""

import pytest
import torch

from pipelines.model.engine.linear import linear
from pipelines.model.engine.matmul import Matmul
from tests.engines import BACKENDS, BF16, always_pack

ROWS = [1, 15, 16, 17, 255, 256, 300]


@pytest.fixture(params=BACKENDS)
def matmul(request):
    return Matmul(BACKENDS[request.param])


@pytest.fixture(params=["plain", "packed"])
def uses(request, monkeypatch):
    """How often a weight is used: often enough to be packed, or not."""
    if request.param == "packed":
        always_pack(monkeypatch)
        return 4
    return 1


def near(found, wanted, matmul):
    limit = 2e-2 if str(matmul.backend) in BF16 else 1e-5
    assert (found.float() - wanted).abs().max() <= limit * wanted.abs().max()


@pytest.mark.parametrize("num_rows", ROWS)
def test_many_rows(matmul, uses, num_rows):
    torch.manual_seed(1)
    rows, weight, bias = torch.randn(num_rows, 24), torch.randn(40, 24), torch.randn(40)
    prepared, operand = matmul.prepare(weight, uses), matmul.cast(rows)
    found = matmul.apply(operand, prepared, bias)
    assert found.dtype is matmul.dtype
    near(found, rows @ weight.T + bias, matmul)
    near(matmul.apply(operand, prepared, None), rows @ weight.T, matmul)
    left = torch.randn(num_rows, 40)
    outer = matmul.outer(matmul.cast(left), operand)
    assert outer.dtype is torch.float32
    near(outer, left.T @ rows, matmul)


@pytest.mark.parametrize("num_rows", ROWS)
def test_the_rows_of_a_step_leave_the_next_steps_alone(matmul, uses, num_rows):
    torch.manual_seed(2)
    rows, weight = torch.randn(num_rows, 24), torch.randn(40, 24)
    sums = torch.randn(matmul.padded_rows(num_rows) + 5, 40)
    all_sums = matmul.cast(sums).clone()
    padded = matmul.cast(torch.cat([rows, torch.randn(5 + 16, 24)]))
    size = matmul.padded_rows(num_rows)
    prepared = matmul.prepare(weight, uses)
    found = matmul.accumulate(all_sums[:size], padded[:size], prepared)
    near(found[:num_rows], sums[:num_rows] + rows @ weight.T, matmul)
    assert torch.equal(all_sums[num_rows:], matmul.cast(sums)[num_rows:])


def test_weights_are_packed_where_it_is_worth_it(matmul):
    large = torch.randn(1024, 1024)
    packs = matmul.backend.library != "torch"
    assert matmul.prepare(large, 4).is_mkldnn == packs
    assert not matmul.prepare(large, 1).is_mkldnn
    assert not matmul.prepare(torch.randn(8, 8), 4).is_mkldnn


def test_a_linear_layer_has_the_gradients_of_torchs(matmul):
    torch.manual_seed(3)
    inputs = [torch.randn(70, 24), torch.randn(40, 24)]
    own = [tensor.clone().requires_grad_() for tensor in inputs]
    wanted = [tensor.clone().requires_grad_() for tensor in inputs]
    mix = torch.randn(70, 40)
    (linear(own[0], own[1], matmul).float() * mix).sum().backward()
    (torch.nn.functional.linear(*wanted) * mix).sum().backward()
    for ours, theirs in zip(own, wanted, strict=True):
        assert ours.grad is not None
        assert ours.grad.dtype is torch.float32
        near(ours.grad, theirs.grad, matmul)

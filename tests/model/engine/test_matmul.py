"""Every backend multiplies any number of rows."""

import pytest
import torch

from pipelines.model.engine.matmul import Matmul
from tests.engines import BACKENDS, BF16, always_pack

ROWS = [1, 15, 16, 17, 255, 256, 300]


@pytest.fixture(params=BACKENDS)
def matmul(request):
    return Matmul(BACKENDS[request.param])


@pytest.fixture(params=["plain", "packed"])
def uses(request, monkeypatch):
    """Uses of a weight: enough for packing it, or not."""
    if request.param == "packed":
        always_pack(monkeypatch)
        return 4
    return 1


def assert_near(actual, expected, matmul):
    limit = 2e-2 if str(matmul.backend) in BF16 else 1e-5
    assert (actual.float() - expected).abs().max() <= limit * expected.abs().max()


@pytest.mark.parametrize("num_rows", ROWS)
def test_linear_and_its_weight_gradient(matmul, uses, num_rows):
    torch.manual_seed(1)
    rows, weight, bias = torch.randn(num_rows, 24), torch.randn(40, 24), torch.randn(40)
    prepared, operand = matmul.prepare(weight, uses), matmul.cast(rows)
    actual = matmul.linear(operand, prepared, bias)
    assert actual.dtype is matmul.dtype
    assert_near(actual, rows @ weight.T + bias, matmul)
    assert_near(matmul.linear(operand, prepared, None), rows @ weight.T, matmul)
    grad = torch.randn(num_rows, 40)
    gradient = matmul.weight_gradient(matmul.cast(grad), operand)
    assert gradient.dtype is torch.float32
    assert_near(gradient, grad.T @ rows, matmul)


@pytest.mark.parametrize("num_rows", ROWS)
def test_accumulate_leaves_the_rows_of_the_next_step_unchanged(matmul, uses, num_rows):
    torch.manual_seed(2)
    rows, weight = torch.randn(num_rows, 24), torch.randn(40, 24)
    sums = torch.randn(matmul.padded_rows(num_rows) + 5, 40)
    all_sums = matmul.cast(sums).clone()
    padded = matmul.cast(torch.cat([rows, torch.randn(5 + 16, 24)]))
    size = matmul.padded_rows(num_rows)
    prepared = matmul.prepare(weight, uses)
    actual = matmul.accumulate(all_sums[:size], padded[:size], prepared)
    assert_near(actual[:num_rows], sums[:num_rows] + rows @ weight.T, matmul)
    assert torch.equal(all_sums[num_rows:], matmul.cast(sums)[num_rows:])


def test_only_large_weights_that_are_used_often_are_packed(matmul):
    large = torch.randn(1024, 1024)
    packs = matmul.backend.library != "torch"
    assert matmul.prepare(large, 4).is_mkldnn == packs
    assert not matmul.prepare(large, 1).is_mkldnn
    assert not matmul.prepare(torch.randn(8, 8), 4).is_mkldnn


@pytest.mark.parametrize("name", BF16)
def test_bf16_operands_and_results_are_values_of_bfloat16(name):
    matmul = Matmul(BF16[name])
    rows, weight = matmul.cast(torch.randn(20, 24)), torch.randn(40, 24)
    result = matmul.linear(rows, matmul.prepare(weight, 1), None)
    for tensor in (rows, result):
        assert tensor.dtype is matmul.dtype
        assert torch.equal(tensor, tensor.bfloat16().to(matmul.dtype))


def test_padded_rows_are_a_multiple_for_onednn_only(matmul):
    padded = [matmul.padded_rows(n) for n in (1, 16, 17)]
    on_onednn = matmul.backend.library != "torch"
    assert padded == ([16, 16, 32] if on_onednn else [1, 16, 17])

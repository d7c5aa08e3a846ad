import pytest
import torch

from pipelines.model.engine.linear import linear
from pipelines.model.engine.matmul import Matmul
from tests.engines import BACKENDS, BF16


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("num_rows", [1, 70, 300])
def test_values_and_gradients_are_those_of_torchs_linear(name, num_rows):
    torch.manual_seed(3)
    rows, weight, mix = torch.randn(num_rows, 24), torch.randn(40, 24), torch.randn(40)
    matmul = Matmul(BACKENDS[name])
    inputs = rows.clone().requires_grad_(), weight.clone().requires_grad_()
    output = linear(inputs[0], inputs[1], matmul)
    actual = [output, *torch.autograd.grad((output.float() * mix).sum(), inputs)]
    exact = rows.double().requires_grad_(), weight.double().requires_grad_()
    reference = torch.nn.functional.linear(exact[0], exact[1])
    expected = [reference, *torch.autograd.grad((reference * mix).sum(), exact)]
    limit = 2e-2 if name in BF16 else 1e-5
    for value, wanted in zip(actual, expected, strict=True):
        assert (value - wanted).abs().max() <= limit * wanted.abs().max()
    assert [t.dtype for t in actual] == [matmul.dtype, torch.float32, torch.float32]

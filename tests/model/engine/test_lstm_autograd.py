"""One LSTM layer against torch's autograd in float64, on every engine."""

import pytest
import torch

from pipelines.model.engine import lstm_steps
from pipelines.model.engine.lstm_autograd import LayerWeights, run_layer
from pipelines.model.engine.matmul import Matmul
from tests.engines import BF16, FP32, MATMUL, always_pack

INPUT_SIZE, CELLS = 5, 6
SIZES = [(4, 4, 3, 1, 1), (3, 3, 3), (1,), (40, 40, 33, 17, 1)]


def with_packing(backends):
    """Each backend, and again with packed weights where it packs them."""
    packing = [name for name, b in backends.items() if b.library != "torch"]
    return [(name, False) for name in backends] + [(name, True) for name in packing]


def matmul_of(backend, monkeypatch, *, packed):
    if packed:
        always_pack(monkeypatch)
    return Matmul(backend)


@pytest.fixture(params=with_packing(FP32), ids=str)
def fp32(request, monkeypatch):
    name, packed = request.param
    return matmul_of(FP32[name], monkeypatch, packed=packed)


@pytest.fixture(params=with_packing(BF16), ids=str)
def bf16(request, monkeypatch):
    name, packed = request.param
    return matmul_of(BF16[name], monkeypatch, packed=packed)


def make_tensors(sizes, *, peepholes):
    """Input, initial state and weights, in the order of `run_layer`'s."""
    torch.manual_seed(1)
    gates = 4 * CELLS
    return [
        torch.rand(shape).sub_(0.5)
        for shape in (
            *((sum(sizes), INPUT_SIZE), (sizes[0], CELLS), (sizes[0], CELLS)),
            *((gates, INPUT_SIZE), (gates, CELLS), (gates,)),
            *([(3, CELLS)] if peepholes else []),
        )
    ]


def reference(sizes, x, h, c, w, r, b, p=None):
    """Graves' equations 7 to 11 in plain torch."""
    p = w.new_zeros(3, CELLS) if p is None else p
    outputs: list[torch.Tensor] = []
    last_h: list[torch.Tensor] = []
    last_c: list[torch.Tensor] = []
    for x_t, following in zip(x.split(sizes), (*sizes[1:], 0), strict=True):
        i, f, g, o = (x_t @ w.T + h @ r.T + b).chunk(4, dim=1)
        i, f = (i + p[0] * c).sigmoid(), (f + p[1] * c).sigmoid()
        c = f * c + i * g.tanh()
        h = (o + p[2] * c).sigmoid() * c.tanh()
        outputs.append(h)
        last_h.insert(0, h[following:])
        last_c.insert(0, c[following:])
        h, c = h[:following], c[:following]
    return torch.cat(outputs), torch.cat(last_h), torch.cat(last_c)


def engine(matmul):
    def run(sizes, x, h, c, *weights):
        return run_layer(x, sizes, LayerWeights(*weights), matmul, (h, c))

    return run


def results(run, sizes, tensors, dtype=torch.float32):
    """Output, last state and the gradients of all tensors."""
    inputs = [t.to(dtype, copy=True).requires_grad_() for t in tensors]
    output, h, c = run(sizes, *inputs)
    mix = torch.linspace(-1, 1, output.numel(), dtype=dtype).view_as(output)
    loss = (output.to(dtype) * mix).sum() + h.to(dtype).sum() - 2 * c.sum()
    return [output, h, c, *torch.autograd.grad(loss, inputs)]


@pytest.mark.parametrize("peepholes", [False, True])
@pytest.mark.parametrize("sizes", SIZES)
def test_values_and_gradients_are_those_of_autograd_in_float64(fp32, sizes, peepholes):
    tensors = make_tensors(sizes, peepholes=peepholes)
    expected = results(reference, sizes, tensors, torch.float64)
    for actual, exact in zip(
        results(engine(fp32), sizes, tensors), expected, strict=True
    ):
        assert actual.dtype is torch.float32
        torch.testing.assert_close(actual.double(), exact, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("peepholes", [False, True])
def test_values_and_gradients_in_bf16_are_near_float64(bf16, peepholes):
    sizes = SIZES[-1]
    tensors = make_tensors(sizes, peepholes=peepholes)
    expected = results(reference, sizes, tensors, torch.float64)
    actual = results(engine(bf16), sizes, tensors)
    for rough, exact in zip(actual, expected, strict=True):
        assert (rough - exact).abs().max() <= 0.02 * exact.abs().max()


def test_the_layer_without_peepholes_is_torchs_lstm():
    x, h, c, w, r, b = make_tensors((3, 3, 3), peepholes=False)
    lstm = torch.nn.LSTM(INPUT_SIZE, CELLS)
    for parameter, value in zip(lstm.parameters(), (w, r, b, 0 * b), strict=True):
        parameter.data = value
    output, (last_h, last_c) = lstm(x.view(3, 3, -1), (h[None], c[None]))
    expected = output.flatten(0, 1), last_h[0], last_c[0]
    torch.testing.assert_close(engine(MATMUL)((3, 3, 3), x, h, c, w, r, b), expected)


def test_the_initial_state_is_zero_by_default():
    x, h, c, *weights = make_tensors(SIZES[0], peepholes=True)
    given = engine(MATMUL)(SIZES[0], x, 0 * h, 0 * c, *weights)
    by_default = run_layer(x, SIZES[0], LayerWeights(*weights), MATMUL)
    assert all(map(torch.equal, given, by_default))


def test_without_gradients_the_values_are_the_same_and_nothing_is_saved(
    fp32, monkeypatch
):
    tensors = make_tensors(SIZES[0], peepholes=True)
    expected = results(engine(fp32), SIZES[0], tensors)[:3]
    monkeypatch.delattr(lstm_steps.SavedFactors, "allocate")
    inputs = [t.clone().requires_grad_() for t in tensors]
    with torch.no_grad():
        assert all(map(torch.equal, engine(fp32)(SIZES[0], *inputs), expected))
    assert all(map(torch.equal, engine(fp32)(SIZES[0], *tensors), expected))


def test_an_input_without_gradient_leaves_those_of_the_weights_as_they_are():
    x, h, c, *weights = make_tensors(SIZES[0], peepholes=True)
    expected = results(engine(MATMUL), SIZES[0], [x, h, c, *weights])[6:]

    def run(sizes, *inputs):
        return engine(MATMUL)(sizes, x, h, c, *inputs)

    gradients = results(run, SIZES[0], weights)[3:]
    assert all(map(torch.equal, gradients, expected))


def test_a_second_backward_pass_is_refused():
    x, *rest = make_tensors(SIZES[0], peepholes=False)
    output, _, _ = engine(MATMUL)(SIZES[0], x.requires_grad_(), *rest)
    output.sum().backward()
    with pytest.raises(RuntimeError, match="second time"):
        output.sum().backward()

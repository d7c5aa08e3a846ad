import numpy as np
import pytest
import torch

from pipelines.config import ModelConfig
from pipelines.data.batch import pack_sequences
from pipelines.model import lstm
from pipelines.model.engine.matmul import Matmul
from pipelines.model.engine.precision import Backend
from pipelines.model.lstm import LSTMStack, select_state
from tests.engines import CPU, FP32, MATMUL

SIZES = (4, 4, 3, 1, 1)
"""Four sentences, of 5, 3, 3 and 2 tokens."""


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def numpy_weights(stack):
    return [
        {
            name: parameter.detach().numpy().astype(np.float64)
            for name, parameter in layer.named_parameters()
        }
        for layer in stack.layers
    ]


def lstm_by_hand(weights, sentence, h0, c0):
    """Graves' cell over one sentence [T, I], written out in NumPy float64."""
    sequence, last = sentence.astype(np.float64), []
    for number, w in enumerate(weights):
        peep_i, peep_f, peep_o = w.get("peephole", np.zeros((3, h0.shape[1])))
        h, c = h0[number], c0[number]
        outputs = []
        for x in sequence:
            gates = w["input_weight"] @ x + w["recurrent_weight"] @ h + w["bias"]
            i, f, g, o = np.split(gates, 4)
            i, f = sigmoid(i + peep_i * c), sigmoid(f + peep_f * c)
            c = f * c + i * np.tanh(g)
            h = sigmoid(o + peep_o * c) * np.tanh(c)
            outputs.append(h)
        sequence = np.stack(outputs)
        last.append((h, c))
    return sequence, last


def make_stack(layers=2, input_size=5, cells=6, *, peepholes=False):
    config = ModelConfig(
        embedding_size=input_size, cells=cells, layers=layers, peepholes=peepholes
    )
    return LSTMStack(config)


def rows_of(sizes, sentence):
    """Rows of the tokens of one sentence."""
    starts = np.cumsum([0, *sizes[:-1]])
    return [
        int(s) + sentence for s, n in zip(starts, sizes, strict=True) if sentence < n
    ]


@pytest.fixture(params=FP32)
def engine(request, monkeypatch):
    """Our own engine on each backend, however small the layers."""
    monkeypatch.setattr(lstm, "SMALL_CELLS", 0)
    return Matmul(FP32[request.param])


both = pytest.mark.parametrize("peepholes", [False, True])


@both
@pytest.mark.parametrize("layers", [1, 3])
def test_stack_computes_the_cell_written_out_by_hand(engine, layers, peepholes):
    torch.manual_seed(1)
    stack = make_stack(layers, peepholes=peepholes)
    input_NI = torch.randn(sum(SIZES), 5)
    h0, c0 = torch.randn(2, layers, SIZES[0], 6)
    output, (h_LBH, c_LBH) = stack(input_NI, SIZES, engine, (h0, c0))
    for b in range(SIZES[0]):
        rows = rows_of(SIZES, b)
        expected, last = lstm_by_hand(
            numpy_weights(stack),
            input_NI[rows].numpy(),
            h0[:, b].numpy(),
            c0[:, b].numpy(),
        )
        np.testing.assert_allclose(output[rows].detach().numpy(), expected, atol=1e-6)
        for layer, (h, c) in enumerate(last):
            np.testing.assert_allclose(h_LBH[layer, b].detach().numpy(), h, atol=1e-6)
            np.testing.assert_allclose(c_LBH[layer, b].detach().numpy(), c, atol=1e-6)


def run_both_ways(run, stack, engine, input_NI, state, sizes):
    """Output, last state and all gradients."""
    inputs = [t.clone().requires_grad_() for t in (input_NI, *state)]
    stack.zero_grad()
    output, (h, c) = run(inputs[0], sizes, engine, (inputs[1], inputs[2]))
    weight = torch.linspace(-1, 1, output.numel()).view_as(output)
    ((output.float() * weight).sum() + h.float().sum() - 2 * c.sum()).backward()
    gradients = [p.grad.clone() for p in stack.parameters()]
    return [output, h, c, *(t.grad for t in inputs), *gradients]


@pytest.mark.parametrize("sizes", [SIZES, (3, 3, 3), (1,), (40, 40, 33, 17, 1)])
def test_our_engine_and_torchs_lstm_agree_on_values_and_gradients(engine, sizes):
    torch.manual_seed(3)
    stack = make_stack(2)
    arguments = (
        torch.randn(sum(sizes), 5),
        torch.randn(2, 2, sizes[0], 6).unbind(),
        sizes,
    )
    own = run_both_ways(stack.run_own, stack, engine, *arguments)
    library = run_both_ways(stack.run_library, stack, engine, *arguments)
    for ours, theirs in zip(own, library, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@both
def test_two_halves_with_the_state_between_equal_the_whole(peepholes):
    torch.manual_seed(2)
    stack = make_stack(peepholes=peepholes)
    input_NI = torch.randn(16, 5)
    whole, last = stack(input_NI, (2,) * 8, MATMUL)
    first, state = stack(input_NI[:6], (2,) * 3, MATMUL)
    second, end = stack(input_NI[6:], (2,) * 5, MATMUL, state)
    torch.testing.assert_close(torch.cat([first, second]), whole)
    torch.testing.assert_close(end, last)


def test_a_sentences_state_does_not_depend_on_the_rest_of_the_batch():
    torch.manual_seed(3)
    stack = make_stack()
    sentences = [[3, 4], [5, 6, 7, 8, 9], [3, 3, 3]]
    embedding = torch.randn(10, 5)
    together = pack_sequences(sentences)
    _, state = stack(embedding[together.tokens_N], together.batch_sizes, MATMUL)
    assert together.unsorted_indices_B is not None
    h_LBH, c_LBH = select_state(state, together.unsorted_indices_B)
    for b, sentence in enumerate(sentences):
        alone = pack_sequences([sentence])
        _, (h, c) = stack(embedding[alone.tokens_N], alone.batch_sizes, MATMUL)
        torch.testing.assert_close(h_LBH[:, b : b + 1], h)
        torch.testing.assert_close(c_LBH[:, b : b + 1], c)


def test_select_state_repeats_and_reorders_rows():
    state = torch.arange(12.0).view(2, 3, 2), -torch.arange(12.0).view(2, 3, 2)
    h, c = select_state(state, torch.tensor([2, 0, 0, 1]))
    assert h.shape == (2, 4, 2)
    torch.testing.assert_close(h[:, 1], state[0][:, 0])
    torch.testing.assert_close(c[:, 0], state[1][:, 2])


@both
@pytest.mark.parametrize("sizes", [SIZES, (4, 4, 4, 3), (2, 2)])
def test_read_gives_the_same_output_in_each_engine(sizes, peepholes, monkeypatch):
    torch.manual_seed(6)
    stack = make_stack(peepholes=peepholes)
    input_NI = torch.randn(sum(sizes), 5)
    state = torch.randn(2, 2, sizes[0], 6).unbind()
    expected, _ = stack.run_own(input_NI, sizes, MATMUL, state)
    torch.testing.assert_close(stack.read(input_NI, sizes, MATMUL, state), expected)
    monkeypatch.setattr(lstm, "_MAX_PADDING", 100.0)
    torch.testing.assert_close(stack.read(input_NI, sizes, MATMUL, state), expected)


def test_dropout_acts_between_the_layers_of_torchs_lstm_too(monkeypatch):
    monkeypatch.setattr(lstm, "SMALL_CELLS", 512)
    stack = make_stack(2, 5, 6)
    stack.dropout.p = 0.5
    input_NI = torch.randn(16, 5)
    torch.manual_seed(7)
    own, _ = stack.run_own(input_NI, (2,) * 8, MATMUL)
    torch.manual_seed(7)
    library, _ = stack.run_library(input_NI, (2,) * 8, MATMUL)
    torch.testing.assert_close(library, own)


@pytest.mark.parametrize(
    ("backend", "cells", "peepholes", "expected"),
    [
        (Backend("torch", "fp32"), 6, False, "onednn where it suits"),
        (Backend("torch", "fp32"), 513, False, "own"),
        (Backend("torch", "fp32"), 6, True, "own"),
        (Backend("torch", "bf16", emulated=True), 6, False, "own"),
    ],
)
def test_the_engine_of_a_cpu_depends_on_precision_size_and_peepholes(
    backend, cells, peepholes, expected
):
    stack = make_stack(1, 5, cells, peepholes=peepholes)
    assert stack.describe_engine(Matmul(backend), CPU) == expected

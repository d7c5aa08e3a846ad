import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from pipelines.config import ModelConfig
from pipelines.model.lstm import LSTMStack, select_state


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm_by_hand(stack, input_TBE):
    """Graves' cell, written out in NumPy float64; without peepholes they are zero."""
    sequence = input_TBE.astype(np.float64)
    for layer in stack.layers:
        w = {
            name: parameter.detach().numpy().astype(np.float64)
            for name, parameter in layer.named_parameters()
        }
        bias = sum(value for name, value in w.items() if name.startswith("bias"))
        num_cells = w["weight_hh_l0"].shape[1]
        peep_i, peep_f, peep_o = w.get("peephole_l0", np.zeros((3, num_cells)))
        h = np.zeros((sequence.shape[1], num_cells))
        c = np.zeros_like(h)
        outputs = []
        for x in sequence:
            gates = x @ w["weight_ih_l0"].T + h @ w["weight_hh_l0"].T + bias
            i, f, g, o = np.split(gates, 4, axis=1)
            i, f = sigmoid(i + peep_i * c), sigmoid(f + peep_f * c)
            c = f * c + i * np.tanh(g)
            h = sigmoid(o + peep_o * c) * np.tanh(c)
            outputs.append(h)
        sequence = np.stack(outputs)
    return sequence, h, c


def make_stack(input_size, cells, *, layers, peepholes=False):
    return LSTMStack(
        ModelConfig(
            embedding_size=input_size, cells=cells, layers=layers, peepholes=peepholes
        )
    )


both = pytest.mark.parametrize("peepholes", [False, True])


@both
@pytest.mark.parametrize("layers", [1, 3])
def test_stack_computes_the_cell_written_out_by_hand(layers, peepholes):
    torch.manual_seed(1)
    stack = make_stack(5, 7, layers=layers, peepholes=peepholes)
    input_TBE = torch.randn(6, 3, 5)
    output, (h_LBH, c_LBH) = stack(input_TBE)
    expected, h, c = lstm_by_hand(stack, input_TBE.numpy())
    np.testing.assert_allclose(output.detach().numpy(), expected, atol=1e-6)
    np.testing.assert_allclose(h_LBH[-1].detach().numpy(), h, atol=1e-6)
    np.testing.assert_allclose(c_LBH[-1].detach().numpy(), c, atol=1e-6)


def test_peepholes_of_zero_are_torchs_own_layer():
    torch.manual_seed(1)
    plain = make_stack(4, 6, layers=1)
    peep = make_stack(4, 6, layers=1, peepholes=True)
    own, torchs = peep.layers[0], plain.layers[0]
    with torch.no_grad():
        own.weight_ih_l0.copy_(torchs.weight_ih_l0)
        own.weight_hh_l0.copy_(torchs.weight_hh_l0)
        own.bias_l0.copy_(torchs.bias_ih_l0 + torchs.bias_hh_l0)
        own.peephole_l0.zero_()
    input_TBE = torch.randn(5, 3, 4)
    torch.testing.assert_close(peep(input_TBE), plain(input_TBE))


@both
def test_two_halves_with_the_state_between_equal_the_whole(peepholes):
    torch.manual_seed(2)
    stack = make_stack(4, 6, layers=2, peepholes=peepholes)
    input_TBE = torch.randn(8, 2, 4)
    whole, last = stack(input_TBE)
    first, state = stack(input_TBE[:3])
    second, end = stack(input_TBE[3:], state)
    torch.testing.assert_close(torch.cat([first, second]), whole)
    torch.testing.assert_close(end, last)


@both
def test_packed_input_gives_the_state_of_each_sentences_own_end(peepholes):
    torch.manual_seed(3)
    stack = make_stack(4, 6, layers=2, peepholes=peepholes)
    input_TBE = torch.randn(5, 3, 4)
    lengths = torch.tensor([2, 5, 3])
    packed = pack_padded_sequence(input_TBE, lengths, enforce_sorted=False)
    output, (h_LBH, c_LBH) = stack(packed)
    padded, _ = pad_packed_sequence(output)
    for b, length in enumerate(lengths.tolist()):
        alone, (h, c) = stack(input_TBE[:length, b : b + 1])
        torch.testing.assert_close(padded[:length, b : b + 1], alone)
        torch.testing.assert_close(h_LBH[:, b : b + 1], h)
        torch.testing.assert_close(c_LBH[:, b : b + 1], c)


def test_select_state_repeats_and_reorders_rows():
    state = torch.arange(12.0).view(2, 3, 2), -torch.arange(12.0).view(2, 3, 2)
    h, c = select_state(state, torch.tensor([2, 0, 0, 1]))
    assert h.shape == (2, 4, 2)
    torch.testing.assert_close(h[:, 1], state[0][:, 0])
    torch.testing.assert_close(c[:, 0], state[1][:, 2])

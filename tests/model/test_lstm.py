import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from pipelines.model.lstm import LSTMStack, select_state


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm_by_hand(stack, input_TBE):
    """Hochreiter and Schmidhuber's cell, written out in NumPy float64."""
    sequence = input_TBE.astype(np.float64)
    for layer in stack.layers:
        w = {
            n: p.detach().numpy().astype(np.float64)
            for n, p in layer.named_parameters()
        }
        num_steps, batch, _ = sequence.shape
        h = np.zeros((batch, layer.hidden_size))
        c = np.zeros_like(h)
        outputs = []
        for t in range(num_steps):
            gates = (
                sequence[t] @ w["weight_ih_l0"].T
                + w["bias_ih_l0"]
                + h @ w["weight_hh_l0"].T
                + w["bias_hh_l0"]
            )
            i, f, g, o = np.split(gates, 4, axis=1)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
            outputs.append(h)
        sequence = np.stack(outputs)
    return sequence, h, c


@pytest.mark.parametrize("layers", [1, 3])
def test_stack_computes_the_cell_written_out_by_hand(layers):
    torch.manual_seed(1)
    stack = LSTMStack(5, 7, layers=layers, dropout=0.0)
    input_TBE = torch.randn(6, 3, 5)
    output, (h_LBH, c_LBH) = stack(input_TBE)
    expected, h, c = lstm_by_hand(stack, input_TBE.numpy())
    np.testing.assert_allclose(output.detach().numpy(), expected, atol=1e-6)
    np.testing.assert_allclose(h_LBH[-1].detach().numpy(), h, atol=1e-6)
    np.testing.assert_allclose(c_LBH[-1].detach().numpy(), c, atol=1e-6)


def test_two_halves_with_the_state_between_equal_the_whole():
    torch.manual_seed(2)
    stack = LSTMStack(4, 6, layers=2, dropout=0.0)
    input_TBE = torch.randn(8, 2, 4)
    whole, last = stack(input_TBE)
    first, state = stack(input_TBE[:3])
    second, end = stack(input_TBE[3:], state)
    torch.testing.assert_close(torch.cat([first, second]), whole)
    torch.testing.assert_close(end, last)


def test_packed_input_gives_the_state_of_each_sentences_own_end():
    torch.manual_seed(3)
    stack = LSTMStack(4, 6, layers=2, dropout=0.0)
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

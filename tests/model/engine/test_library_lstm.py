import pytest
import torch
from torch.nn.utils.rnn import pack_sequence

from pipelines.model.engine.library_lstm import (
    cudnn_dtype,
    flat_weights,
    library_lstm,
)
from pipelines.model.engine.lstm_autograd import LayerWeights
from tests.engines import CPU

INPUT_SIZE, CELLS, LAYERS = 5, 6, 2


@pytest.fixture
def lstm():
    torch.manual_seed(1)
    return torch.nn.LSTM(INPUT_SIZE, CELLS, LAYERS)


@pytest.mark.parametrize("lengths", [(3, 3, 3), (5, 3, 3, 2), (1,)])
def test_the_result_is_that_of_nn_lstm_over_packed_sentences(lstm, lengths):
    packed = pack_sequence([torch.randn(length, INPUT_SIZE) for length in lengths])
    h0, c0 = torch.randn(2, LAYERS, len(lengths), CELLS)
    expected, (h, c) = lstm(packed, (h0, c0))
    actual = library_lstm(
        packed.data, packed.batch_sizes.tolist(), (h0, c0), list(lstm.parameters())
    )
    torch.testing.assert_close(actual, (expected.data, h, c))


def test_flat_weights_have_torchs_order_with_a_second_bias_of_zero(lstm):
    w0, r0, b0, _, w1, r1, b1, _ = lstm.parameters()
    flat = flat_weights([LayerWeights(w0, r0, b0), LayerWeights(w1, r1, b1)])
    zeros = torch.zeros(4 * CELLS)
    for actual, expected in zip(
        flat, [w0, r0, b0, zeros, w1, r1, b1, zeros], strict=True
    ):
        assert torch.equal(actual, expected)


def test_float32_stays_float32_without_asking_cudnn():
    assert cudnn_dtype(torch.float32, CPU) is torch.float32

import numpy as np
import pytest
import torch

from pipelines.config import ModelConfig
from pipelines.data.batch import pack_sequences
from pipelines.model import lstm
from pipelines.model.engine import lstm_steps
from pipelines.model.engine.matmul import Matmul
from pipelines.model.lstm import LSTMStack, select_state
from tests.engines import BF16, FP32, MATMUL, always_pack

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


def lstm_by_hand(weights, sentence, h0=None, c0=None):
    """Graves' cell over one sentence [T, I], written out in NumPy float64."""
    sequence, last = sentence.astype(np.float64), []
    for number, w in enumerate(weights):
        num_padded_tokens = w["recurrent_weight"].shape[1]
        peep_i, peep_f, peep_o = w.get("peephole", np.zeros((3, num_padded_tokens)))
        h = np.zeros(num_padded_tokens) if h0 is None else h0[number]
        c = np.zeros(num_padded_tokens) if c0 is None else c0[number]
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
    """Where the tokens of one sentence stand."""
    starts = np.cumsum([0, *sizes[:-1]])
    return [
        int(s) + sentence for s, n in zip(starts, sizes, strict=True) if sentence < n
    ]


def with_packing(backends):
    """Each backend, and again with packed weights where it packs them."""
    packing = [name for name, each in backends.items() if each.library != "torch"]
    return [
        *((name, False) for name in backends),
        *((name, True) for name in packing),
    ]


def engine_of(backend, monkeypatch, *, packed):
    """Our own engine on a backend, with tiny weights packed or not."""
    if packed:
        always_pack(monkeypatch)
    monkeypatch.setattr(lstm, "SMALL_CELLS", 0)
    return Matmul(backend)


@pytest.fixture(params=with_packing(FP32), ids=str)
def engine(request, monkeypatch):
    name, packed = request.param
    return engine_of(FP32[name], monkeypatch, packed=packed)


@pytest.fixture(params=with_packing(BF16), ids=str)
def bf16_engine(request, monkeypatch):
    name, packed = request.param
    return engine_of(BF16[name], monkeypatch, packed=packed)


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


@both
def test_gradients_are_those_of_differences_in_the_cell_written_by_hand(
    engine, peepholes
):
    torch.manual_seed(2)
    stack = make_stack(1, peepholes=peepholes)
    input_NI = torch.randn(sum(SIZES), 5)
    mix_NH, mix_BH = torch.randn(sum(SIZES), 6), torch.randn(SIZES[0], 6)

    def loss_by_hand(weights):
        total = 0.0
        for b in range(SIZES[0]):
            rows = rows_of(SIZES, b)
            output, last = lstm_by_hand(weights, input_NI[rows].numpy())
            total += (output * mix_NH[rows].numpy()).sum()
            total += ((last[0][0] + 2 * last[0][1]) * mix_BH[b].numpy()).sum()
        return total

    output, (h_LBH, c_LBH) = stack(input_NI, SIZES, engine)
    loss = (output * mix_NH).sum() + ((h_LBH[0] + 2 * c_LBH[0]) * mix_BH).sum()
    loss.backward()
    weights = numpy_weights(stack)
    assert loss.item() == pytest.approx(loss_by_hand(weights), rel=1e-5)
    generator = np.random.default_rng(1)
    for name, parameter in stack.layers[0].named_parameters():
        for _ in range(5):
            place = tuple(int(generator.integers(n)) for n in parameter.shape)
            original, step = weights[0][name][place], 1e-5
            values = []
            for moved in (original + step, original - step):
                weights[0][name][place] = moved
                values.append(loss_by_hand(weights))
            weights[0][name][place] = original
            slope = (values[0] - values[1]) / (2 * step)
            assert parameter.grad[place].item() == pytest.approx(slope, abs=1e-4), name


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
def test_own_engine_and_torchs_lstm_agree_on_values_and_gradients(engine, sizes):
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
def test_bf16_products_stay_near_fp32(bf16_engine, peepholes):
    torch.manual_seed(4)
    sizes = (40, 40, 33, 17, 1)
    stack = make_stack(2, 16, 24, peepholes=peepholes)
    arguments = torch.randn(131, 16), torch.randn(2, 2, 40, 24).unbind(), sizes
    exact = run_both_ways(stack.run_own, stack, MATMUL, *arguments)
    rough = run_both_ways(stack.run_own, stack, bf16_engine, *arguments)
    for near, there in zip(rough, exact, strict=True):
        assert (near - there).abs().max() <= 0.02 * there.abs().max()


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


def test_a_sentences_state_does_not_depend_on_its_neighbours():
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


def test_without_gradients_the_same_numbers_come_out_and_nothing_is_saved(
    engine, monkeypatch
):
    torch.manual_seed(5)
    stack = make_stack(peepholes=True)
    input_NI = torch.randn(sum(SIZES), 5)
    wanted, _ = stack(input_NI, SIZES, engine)
    saving = []
    steps = lstm_steps.LSTMSteps.__init__

    def watched(self, *arguments, saves):
        saving.append(saves)
        steps(self, *arguments, saves=saves)

    monkeypatch.setattr(lstm_steps.LSTMSteps, "__init__", watched)
    with torch.no_grad():
        found, _ = stack(input_NI, SIZES, engine)
    assert torch.equal(found, wanted)
    assert saving == [False, False]


def test_select_state_repeats_and_reorders_rows():
    state = torch.arange(12.0).view(2, 3, 2), -torch.arange(12.0).view(2, 3, 2)
    h, c = select_state(state, torch.tensor([2, 0, 0, 1]))
    assert h.shape == (2, 4, 2)
    torch.testing.assert_close(h[:, 1], state[0][:, 0])
    torch.testing.assert_close(c[:, 0], state[1][:, 2])


@both
@pytest.mark.parametrize("sizes", [SIZES, (4, 4, 4, 3), (2, 2)])
def test_reading_gives_the_output_whichever_engine_runs(sizes, peepholes, monkeypatch):
    torch.manual_seed(6)
    stack = make_stack(peepholes=peepholes)
    input_NI = torch.randn(sum(sizes), 5)
    state = torch.randn(2, 2, sizes[0], 6).unbind()
    wanted, _ = stack.run_own(input_NI, sizes, MATMUL, state)
    torch.testing.assert_close(stack.read(input_NI, sizes, MATMUL, state), wanted)
    monkeypatch.setattr(lstm, "_PADDED", 100.0)
    torch.testing.assert_close(stack.read(input_NI, sizes, MATMUL, state), wanted)


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

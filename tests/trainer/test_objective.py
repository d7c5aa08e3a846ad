"""One update of training, against the paper's section 3.4 in a few lines of NumPy."""

import numpy as np
import pytest
import torch

from pipelines.artifacts.vocab import EOS
from pipelines.config import ModelConfig, TrainConfig
from pipelines.data.batch import make_batch
from pipelines.model.engine.matmul import Matmul
from pipelines.model.seq2seq import Seq2Seq, initialize
from pipelines.trainer.optimizer import build_optimizer, update
from tests.engines import FP32

PAIRS = [([5, 6, 7, 2], [3, 4, 2]), ([8, 2], [5, 6, 7, 8, 2]), ([9, 9, 2], [2])]
RATE, CLIP_NORM = 0.7, 0.05


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def run_stack(weights, prefix, layers, words, state):
    sequence, last = words, []
    for number in range(layers):
        w = {
            name: weights[f"{prefix}.lstm.layers.{number}.{name}"]
            for name in ("input_weight", "recurrent_weight", "bias", "peephole")
        }
        h, c = state[number]
        outputs = []
        for x in sequence:
            gates = w["input_weight"] @ x + w["recurrent_weight"] @ h + w["bias"]
            i, f, g, o = np.split(gates, 4)
            i = sigmoid(i + w["peephole"][0] * c)
            f = sigmoid(f + w["peephole"][1] * c)
            c = f * c + i * np.tanh(g)
            h = sigmoid(o + w["peephole"][2] * c) * np.tanh(c)
            outputs.append(h)
        sequence = outputs
        last.append((h, c))
    return sequence, last


def objective(weights, layers=2, cells=4):
    """The mean over pairs of the SUM over a sentence's words of -log p."""
    total = 0.0
    for src, tgt in PAIRS:
        zero = [(np.zeros(cells), np.zeros(cells))] * layers
        words = weights["encoder.embedding.weight"][src]
        _, state = run_stack(weights, "encoder", layers, words, zero)
        words = weights["decoder.embedding.weight"][[EOS, *tgt[:-1]]]
        outputs, _ = run_stack(weights, "decoder", layers, words, state)
        for h, word in zip(outputs, tgt, strict=True):
            logits = weights["decoder.output.weight"] @ h
            logits = logits + weights["decoder.output_bias_V"]
            total -= logits[word] - np.log(np.exp(logits).sum())
    return total / len(PAIRS)


def gradient(weights, name, place, step=1e-6):
    values = []
    for moved in (step, -step):
        weights[name][place] += moved
        values.append(objective(weights))
        weights[name][place] -= moved
    return (values[0] - values[1]) / (2 * step)


@pytest.fixture(scope="module")
def by_hand():
    """The objective and its whole gradient, of weights drawn as the model's are."""
    weights = numpy_weights(make_model())
    gradients = {
        name: np.array(
            [gradient(weights, name, place) for place in np.ndindex(array.shape)]
        ).reshape(array.shape)
        for name, array in weights.items()
    }
    return objective(weights), gradients


@pytest.fixture(params=FP32)
def matmul(request):
    return Matmul(FP32[request.param])


def make_model():
    config = ModelConfig(layers=2, cells=4, embedding_size=3, peepholes=True)
    model = Seq2Seq(config, 10, 9)
    initialize(model, init_range=0.5, seed=1)
    return model


def numpy_weights(model):
    return {
        n: p.detach().numpy().astype(np.float64) for n, p in model.named_parameters()
    }


def test_loss_is_the_sum_of_a_sentences_tokens_in_the_mean_over_sentences(
    by_hand, matmul
):
    loss, _ = make_model()(make_batch(PAIRS), matmul)
    assert loss.item() / len(PAIRS) == pytest.approx(by_hand[0], rel=1e-6)


@pytest.mark.parametrize("clip_norm", [0.0, CLIP_NORM, 1e6])
def test_update_follows_the_gradient_clipped_by_its_norm_over_all_weights(
    by_hand, matmul, clip_norm
):
    model = make_model()
    before = numpy_weights(model)
    loss, _ = model(make_batch(PAIRS), matmul)
    (loss / len(PAIRS)).backward()
    parameters = list(model.parameters())
    found = update(
        build_optimizer(parameters, TrainConfig()),
        parameters,
        rate=RATE,
        clip_norm=clip_norm,
    )
    gradients = by_hand[1]
    norm = np.sqrt(sum((g**2).sum() for g in gradients.values()))
    scale = min(1.0, clip_norm / norm) if clip_norm else 1.0
    assert found.item() == pytest.approx(norm, rel=1e-4)
    for name, after in numpy_weights(model).items():
        expected = before[name] - RATE * scale * gradients[name]
        np.testing.assert_allclose(after, expected, atol=2e-6, err_msg=name)


def test_nothing_else_moves_sgd(by_hand, matmul):
    """Words that the batch does not hold keep their embeddings to the bit."""
    model = make_model()
    before = model.encoder.embedding.weight.detach().clone()
    loss, _ = model(make_batch(PAIRS), matmul)
    loss.backward()
    parameters = list(model.parameters())
    update(
        build_optimizer(parameters, TrainConfig()), parameters, rate=1.0, clip_norm=5.0
    )
    moved = (model.encoder.embedding.weight != before).any(dim=1)
    assert torch.equal(moved.nonzero().flatten(), torch.tensor([2, 5, 6, 7, 8, 9]))

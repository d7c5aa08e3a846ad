"""One update, against the paper's section 3.4 in a few lines of NumPy."""

import numpy as np
import pytest
import torch

from pipelines.artifacts.vocab import EOS
from pipelines.config import ModelConfig, TrainConfig
from pipelines.data.batch import make_batch
from pipelines.distributed.process_group import DistributedContext
from pipelines.model.engine.matmul import Matmul
from pipelines.model.seq2seq import Seq2Seq, initialize
from pipelines.trainer.train_step import TrainStep
from tests.engines import FP32
from tests.trainer.tiny import as_loaded

PAIRS = [([5, 6, 7, 2], [3, 4, 2]), ([8, 2], [5, 6, 7, 8, 2]), ([9, 9, 2], [2])]
LEARNING_RATE, CLIP_NORM = 0.7, 0.05


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


def derivative(weights, name, index, step=1e-6):
    values = []
    for change in (step, -step):
        weights[name][index] += change
        values.append(objective(weights))
        weights[name][index] -= change
    return (values[0] - values[1]) / (2 * step)


@pytest.fixture(scope="module")
def in_numpy():
    """The objective and its gradient at the model's weights."""
    weights = numpy_weights(make_model())
    gradients = {
        name: np.array(
            [derivative(weights, name, index) for index in np.ndindex(array.shape)]
        ).reshape(array.shape)
        for name, array in weights.items()
    }
    return objective(weights), gradients


@pytest.fixture(params=FP32)
def matmul(request):
    return Matmul(FP32[request.param])


def make_model(dropout=0.0):
    config = ModelConfig(
        layers=2, cells=4, embedding_size=3, peepholes=True, dropout=dropout
    )
    model = Seq2Seq(config, 10, 9)
    initialize(model, init_range=0.5, seed=1)
    return model


def numpy_weights(model):
    return {
        n: p.detach().numpy().astype(np.float64) for n, p in model.named_parameters()
    }


def test_loss_sums_over_tokens_and_averages_over_sentences(in_numpy, matmul):
    loss, _ = make_model()(make_batch(PAIRS), matmul)
    assert loss.item() / len(PAIRS) == pytest.approx(in_numpy[0], rel=1e-6)


def make_train_step(dropout=0.0, **settings):
    config = TrainConfig(precision="fp32", **settings)
    return TrainStep(make_model(dropout).train(), config, DistributedContext())


def run(train_step, *, step=0, learning_rate=LEARNING_RATE):
    batch = as_loaded(make_batch(PAIRS))
    return train_step(batch, step=step, learning_rate=learning_rate)


@pytest.mark.parametrize("clip_norm", [0.0, CLIP_NORM, 1e6])
def test_sgd_follows_the_gradient_clipped_by_its_norm_over_all_weights(
    in_numpy, matmul, clip_norm
):
    train_step = make_train_step(clip_norm=clip_norm, loss_per="sentence")
    train_step.matmul = matmul
    before = numpy_weights(train_step.model)
    nll, norm = run(train_step)
    loss, gradients = in_numpy
    assert nll.item() / len(PAIRS) == pytest.approx(loss, rel=1e-6)
    expected_norm = np.sqrt(sum((g**2).sum() for g in gradients.values()))
    assert norm.item() == pytest.approx(expected_norm, rel=1e-4)
    scale = min(1.0, clip_norm / expected_norm) if clip_norm else 1.0
    for name, after in numpy_weights(train_step.model).items():
        expected = before[name] - LEARNING_RATE * scale * gradients[name]
        np.testing.assert_allclose(after, expected, atol=2e-6, err_msg=name)


def test_sgd_changes_the_embeddings_of_the_batchs_words_alone():
    train_step = make_train_step()
    embedding = train_step.model.encoder.embedding.weight
    before = embedding.detach().clone()
    run(train_step)
    changed = (embedding != before).any(dim=1)
    assert torch.equal(changed.nonzero().flatten(), torch.tensor([2, 5, 6, 7, 8, 9]))


def test_the_loss_per_token_has_the_gradient_divided_by_target_tokens(in_numpy):
    _, norm = run(make_train_step(loss_per="token", clip_norm=0.0))
    sentence_norm = np.sqrt(sum((g**2).sum() for g in in_numpy[1].values()))
    num_tokens = sum(len(tgt) for _, tgt in PAIRS)
    expected = sentence_norm * len(PAIRS) / num_tokens
    assert norm.item() == pytest.approx(expected, rel=1e-4)


def test_dropout_is_a_function_of_seed_and_step():
    def loss(*, seed, step):
        return run(make_train_step(dropout=0.5, seed=seed), step=step)[0].item()

    first = loss(seed=1, step=3)
    assert loss(seed=1, step=3) == first
    assert loss(seed=1, step=4) != first
    assert loss(seed=2, step=3) != first


def test_the_averaged_weights_are_the_models_inside_the_block_alone():
    train_step = make_train_step(ema_decay=0.9)
    run(train_step)
    weight = train_step.model.encoder.embedding.weight
    raw, average = weight.detach().clone(), train_step.average.tensors[0].clone()
    assert not torch.equal(raw, average)
    with train_step.averaged_weights():
        assert torch.equal(weight, average)
    assert torch.equal(weight, raw)


def test_without_an_average_the_block_leaves_the_weights_alone():
    train_step = make_train_step(ema_decay=0.0)
    before = train_step.model.encoder.embedding.weight.detach().clone()
    with train_step.averaged_weights():
        assert torch.equal(train_step.model.encoder.embedding.weight, before)


def test_arithmetic_names_the_precision_the_engine_and_the_processes():
    arithmetic = make_train_step().arithmetic
    assert arithmetic["precision"] == "fp32"
    assert arithmetic["lstm"] == "own"  # it has peepholes
    assert arithmetic["processes"] == "1"

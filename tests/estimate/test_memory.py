import numpy as np
import pytest
import torch

from pipelines.config import ModelConfig, TrainConfig
from pipelines.data.batch import make_batch
from pipelines.estimate.memory import (
    Engine,
    Load,
    estimate_memory,
    gradients_bytes,
)
from pipelines.model.engine.matmul import choose_matmul
from pipelines.model.seq2seq import Seq2Seq, initialize
from pipelines.trainer.optimizer import build_optimizer, prepare_state, update

SIZES = (4000, 3000)
CPU = torch.device("cpu")
MODELS = [
    ModelConfig(layers=2, cells=96, embedding_size=64),
    ModelConfig(layers=2, cells=96, embedding_size=64, peepholes=True, dropout=0.2),
    ModelConfig(layers=1, cells=128, embedding_size=64, tie_embeddings=True),
]


def a_batch(num_pairs=32):
    generator = np.random.default_rng(1)

    def sentence(size, length):
        return generator.integers(3, size, length, dtype=np.int32)

    return make_batch(
        [(sentence(SIZES[0], 25), sentence(SIZES[1], 30)) for _ in range(num_pairs)]
    )


def a_model(config):
    model = Seq2Seq(config, *SIZES)
    initialize(model, init_range=0.08, seed=1)
    return model


def estimated(config, train, batch, precision="fp32"):
    dtype = choose_matmul(precision, CPU).dtype
    return estimate_memory(
        config,
        train,
        a_model(config).count_parameters(),
        Load.of(batch),
        tgt_vocab_size=SIZES[1],
        engine=Engine(CPU, dtype, rounds=precision == "bf16"),
        free_bytes=None,
    )


def bytes_of(tensor):
    if tensor.is_sparse:
        return bytes_of(tensor._indices()) + bytes_of(tensor._values())
    return tensor.numel() * tensor.element_size()


@pytest.mark.parametrize("config", MODELS)
def test_weights_and_sparse_gradients_are_told_to_the_byte(config):
    model, batch = a_model(config), a_batch()
    found = estimated(config, TrainConfig(), batch)
    assert found.weights_bytes == sum(map(bytes_of, model.parameters()))
    model(batch, choose_matmul("fp32", CPU))[0].backward()
    assert found.gradients_bytes == sum(bytes_of(p.grad) for p in model.parameters())
    assert found.optimizer_bytes == found.average_bytes == 0


@pytest.mark.parametrize("config", MODELS)
def test_adams_dense_gradients_and_moments_are_told_to_the_byte(config):
    model, batch = a_model(config), a_batch()
    train = TrainConfig(optimizer="adam", ema_decay=0.9)
    optimizer = build_optimizer(model.parameters(), train)
    prepare_state(optimizer)
    found = estimated(config, train, batch)
    moments = [
        state[name]
        for state in optimizer.state.values()
        for name in ("exp_avg", "exp_avg_sq")
    ]
    assert found.optimizer_bytes == sum(map(bytes_of, moments))
    assert found.average_bytes == found.weights_bytes
    counted = model.count_parameters()
    dense = gradients_bytes(config, counted, Load.of(batch), sparse=False)
    assert found.gradients_bytes == dense == found.weights_bytes


def peak_bytes(config, train, batch, precision):
    """What an update takes from torch's allocator at its highest, weights apart."""
    model = a_model(config)
    parameters = list(model.parameters())
    optimizer = build_optimizer(parameters, train)

    def step():
        loss, _ = model(batch, choose_matmul(precision, CPU))
        loss.backward()
        update(optimizer, parameters, rate=0.1, clip_norm=5.0)

    step()
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as trace:
        step()
    events = trace.profiler.kineto_results.events()
    changes = sorted(
        (e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]"
    )
    return np.cumsum([change for _, change in changes]).max()


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("config", MODELS)
def test_an_update_needs_at_most_what_is_told_and_not_much_less(
    config, precision, optimizer
):
    train, batch = TrainConfig(optimizer=optimizer), a_batch()
    found = estimated(config, train, batch, precision)
    resident = found.weights_bytes + found.optimizer_bytes
    measured = peak_bytes(config, train, batch, precision)
    assert 0.9 <= (found.total_bytes - resident) / measured <= 1.6


def test_peepholes_dropout_and_rounding_cost_memory():
    plain, batch = MODELS[0].model_copy(update={"cells": 600}), a_batch()

    def total(precision="fp32", **changes):
        config = plain.model_copy(update=changes)
        return estimated(config, TrainConfig(), batch, precision).total_bytes

    assert total(peepholes=True) > total()
    assert total(dropout=0.1) > total()
    assert total("bf16") != total()


def test_a_gpus_library_keeps_less_than_our_own_engine():
    batch, counted = a_batch(), a_model(MODELS[0]).count_parameters()

    def activations(config):
        return estimate_memory(
            config,
            TrainConfig(),
            counted,
            Load.of(batch),
            tgt_vocab_size=SIZES[1],
            engine=Engine(torch.device("cuda"), torch.bfloat16, rounds=True),
            free_bytes=1,
        )

    library = activations(MODELS[0])
    own = activations(MODELS[0].model_copy(update={"peepholes": True}))
    assert library.activations_bytes < own.activations_bytes
    assert not library.fits

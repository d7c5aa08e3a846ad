import numpy as np
import pytest
import torch

from pipelines.config import Config, ModelConfig, TrainConfig
from pipelines.estimate.data import ExpectedData
from pipelines.estimate.memory import known_memory
from pipelines.estimate.trial import Trial, TrialTrainer, parts_of_batch
from pipelines.model.engine.matmul import Matmul
from tests.engines import BACKENDS, CPU, always_pack

SIZES = (4000, 3000)
MODELS = [
    ModelConfig(layers=2, cells=96, embedding_size=64),
    ModelConfig(layers=2, cells=96, embedding_size=64, peepholes=True, dropout=0.2),
    ModelConfig(layers=1, cells=128, embedding_size=64, tie_embeddings=True),
]
TRAINS = {
    "sgd": TrainConfig(optimizer="sgd"),
    "adam": TrainConfig(optimizer="adam", ema_decay=0.9),
}


def some_data(num_pairs):
    generator = np.random.default_rng(1)
    src, tgt = (generator.poisson(mean, num_pairs).clip(1) + 1 for mean in (25, 29))
    return ExpectedData("nothing", "", src, tgt, SIZES)


def a_trainer(model, train, engine="fp32 by torch"):
    config = Config(model=model, train=TRAINS[train])
    trainer = TrialTrainer(config, SIZES, device=CPU)
    trainer.learner.matmul = Matmul(BACKENDS[engine])
    return config, trainer


def bytes_of(tensor):
    if tensor.is_sparse:
        return bytes_of(tensor._indices()) + bytes_of(tensor._values())
    return tensor.numel() * tensor.element_size()


@pytest.mark.parametrize("train", TRAINS)
@pytest.mark.parametrize("model", MODELS)
def test_what_stays_and_the_gradients_are_exact_to_the_byte(model, train, monkeypatch):
    config, trainer = a_trainer(model, train)
    learner, planned = trainer.learner, some_data(32).planned(np.arange(32))
    gradients: list[int] = []

    def step(self, *args, **kwargs):
        gradients.extend(bytes_of(p.grad) for p in learner.model.parameters())

    optimizer = type(learner.optimizer)
    monkeypatch.setattr(optimizer, "step", step)
    counted = learner.model.count_parameters()
    found = known_memory(config, counted, planned.batch, free_bytes=None)
    trainer.time(planned)
    states = learner.optimizer.state.values()
    moments = [s[name] for s in states for name in ("exp_avg", "exp_avg_sq")]
    average = learner.average.tensors if learner.average else []
    assert found.weights_bytes == sum(map(bytes_of, learner.model.parameters()))
    assert found.gradients_bytes == sum(gradients)
    assert found.optimizer_bytes == sum(map(bytes_of, moments))
    assert found.average_bytes == sum(map(bytes_of, average))


@pytest.mark.slow
@pytest.mark.parametrize("packs", [False, True])
@pytest.mark.parametrize("train", TRAINS)
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("engine", BACKENDS)
def test_memory_is_extrapolated_from_small_steps(
    engine, model, train, packs, monkeypatch
):
    if packs:
        always_pack(monkeypatch)
    _, trainer = a_trainer(model, train, engine)
    data = some_data(120)
    *parts, whole = map(data.planned, parts_of_batch(np.arange(120), data))
    measured = [trainer.measure(part) for part in parts]
    estimated_bytes = Trial(measured).peak_bytes(whole.num_words)
    assert len(parts) == 2
    assert 1.0 <= estimated_bytes / trainer.measure(whole).peak_bytes <= 1.2


def test_a_single_step_estimates_a_larger_one_from_above():
    _, trainer = a_trainer(MODELS[0], "sgd")
    data = some_data(150)
    part, *_, whole = parts_of_batch(np.arange(150), data)
    trial = Trial([trainer.measure(data.planned(part))])
    whole_step = trainer.measure(data.planned(whole))
    assert trial.peak_bytes(whole_step.words) > whole_step.peak_bytes
    assert Trial([whole_step]).peak_bytes(whole_step.words) == whole_step.peak_bytes


def test_a_trial_step_changes_no_weights_and_repeats_its_memory():
    _, trainer = a_trainer(MODELS[1], "adam")
    planned = some_data(20).planned(np.arange(20))
    before = [p.detach().clone() for p in trainer.learner.model.parameters()]
    first, second = trainer.measure(planned), trainer.measure(planned)
    assert first.peak_bytes == second.peak_bytes > 0
    after = trainer.learner.model.parameters()
    assert all(map(torch.equal, before, after))


@pytest.mark.parametrize("num_pairs", [1, 20, 50, 150])
def test_parts_of_a_batch_grow_and_fill_one_chunk_and_two(num_pairs):
    data = some_data(num_pairs)
    parts = parts_of_batch(np.arange(num_pairs), data)
    tokens = [int(data.tgt_lengths[part].sum()) for part in parts]
    assert sorted(parts[-1].tolist()) == list(range(num_pairs))
    assert tokens == sorted(set(tokens))
    assert len(parts) == 1 + (tokens[-1] > 1023) + (tokens[-1] > 2046)
    for number, count in enumerate(tokens[:-1], 1):
        assert 960 < count / number < 1024

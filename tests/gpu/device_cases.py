"""Small models, and work to do with them on any device: CPU, GPU or the fake GPU.

The models are those of every recipe with fewer cells and words, and otherwise the same.
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pipelines.artifacts.translations import Translation
from pipelines.config.load import build, flatten, recipe_names, recipe_text
from pipelines.config.schema import Config, ModelConfig, TranslateConfig
from pipelines.config.train import TrainConfig
from pipelines.data.batch import Batch, make_batch
from pipelines.data.loader import LoadedBatch
from pipelines.distributed.process_group import DistributedContext
from pipelines.model.engine.packed_linear import choose_linear
from pipelines.model.inference import InferenceSeq2Seq
from pipelines.model.seq2seq import Seq2Seq, initialize
from pipelines.search.ensemble import Ensemble
from pipelines.search.forced_decoding import ForcedTargets
from pipelines.search.loading import LoadedEnsemble
from pipelines.search.translator import Translator
from pipelines.trainer.loop import Trainer
from pipelines.trainer.optimizer import state_tensors
from pipelines.trainer.train_step import TrainStep
from tests.gpu.fake_cuda import host
from tests.search.tiny import make_pipeline
from tests.trainer.tiny import MODEL, TRAIN, as_loaded, make_trainer

CPU = torch.device("cpu")
VOCAB_SIZE = 8
"""As `make_pipeline`'s."""
EVEN = [([3, 4, 5, 2], [5, 4, 2]), ([6, 7, 3, 2], [7, 3, 2]), ([4, 4, 4, 2], [6, 5, 2])]
RAGGED = [
    ([3, 4, 5, 2], [5, 4, 3, 2]),
    ([6, 2], [7, 7, 2]),
    ([3, 3, 3, 3, 2], [4, 2]),
    ([7, 6, 5, 4, 3, 2], [3, 4, 5, 6, 7, 2]),
]
TREE = [
    ([4, 5, 2], [[4, 5, 6, 2], [4, 5, 7, 2], [4, 3, 2], [2]]),
    ([6, 2], [[3, 2], [3, 3, 3, 3, 3, 2]]),
]
"""Sources and translations of them to be scored."""
LINES = ["a b c", "e", "d d a b e c", "c b"]
TOLERANCE = {"fp32": 1e-4, "tf32": 1e-2, "bf16": 4e-2}
"""Allowed error as a share of the largest value."""


@dataclass(frozen=True)
class Case:
    """Settings of a small model and its training."""

    model: ModelConfig
    train: TrainConfig


def _cut_down(config: Config) -> Case:
    sizes = {"cells": 16, "embedding_size": 8, "init_range": 0.5}
    return Case(config.model.model_copy(update=sizes), config.train)


def _recipe(name: str) -> Config:
    text = tomllib.loads(recipe_text(name))
    return build(flatten(text, name), {})


CASES = {name: _cut_down(_recipe(name)) for name in recipe_names()}
CASES["2x512"] = Case(
    ModelConfig(layers=2, cells=16, embedding_size=16, init_range=0.5),
    TrainConfig(optimizer="adam", learning_rate=0.001, schedule="constant"),
)


_SLOW = ("numbers", "paper")
every_case = pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow if n in _SLOW else ()) for n in CASES],
)


def with_precision(case: Case, precision: str) -> TrainConfig:
    return case.train.model_copy(update={"precision": precision})


def make_model(
    case: Case, device: torch.device, *, seed: int = 1, vocab_size: int = VOCAB_SIZE
) -> Seq2Seq:
    model = Seq2Seq(case.model, vocab_size, vocab_size)
    initialize(model, init_range=case.model.init_range, seed=seed)
    return model.to(device)


def loaded(batch: Batch, device: torch.device) -> LoadedBatch:
    """A batch as the loader hands it to training on a device."""
    return as_loaded(batch if device.type == "cpu" else batch.pinned())


def without_dropout(case: Case) -> Case:
    """Drop what depends on the device's random numbers, for comparisons."""
    return Case(case.model.model_copy(update={"dropout": 0.0}), case.train)


def make_train_step(case: Case, device: torch.device, *, precision: str) -> TrainStep:
    model = make_model(case, device).train()
    return TrainStep(model, with_precision(case, precision), DistributedContext())


def results_of_update(
    train_step: TrainStep, nll: Tensor, norm: Tensor, before: list[Tensor]
):
    """All that one update changed, by name: Adam's first moments and not its steps."""
    results = {"nll": nll, "norm": norm}
    for number, (name, parameter) in enumerate(train_step.model.named_parameters()):
        state = train_step.optimizer.state[parameter]
        change = parameter.detach() - before[number]
        results[name] = state.get("exp_avg", change)
        if train_step.average is not None:
            results[f"average of {name}"] = train_step.average.tensors[number]
    return results


def one_update(
    case: Case,
    device: torch.device,
    precision: str,
    pairs: Sequence[tuple[list[int], list[int]]],
) -> dict[str, Tensor]:
    """Make one update; returns all that it changed, on the CPU."""
    train_step = make_train_step(case, device, precision=precision)
    before = [p.detach().clone() for p in train_step.model.parameters()]
    batch = loaded(make_batch(pairs), device)
    nll, norm = train_step(batch, step=0, learning_rate=1e-2)
    results = results_of_update(train_step, nll, norm, before)
    return {name: host(value) for name, value in results.items()}


def assert_near(actual, expected, *, precision: str, factor: float = 1.0) -> None:
    """Equal within `factor` x the tolerance, relative to the largest value of each."""
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        error = (actual[name].float() - value.float()).abs().max()
        limit = factor * TOLERANCE[precision] * value.abs().max() + 1e-7
        assert error <= limit, name


def make_translator(
    case: Case, device: torch.device, *, beam: int, precision: str, num_models: int = 1
) -> Translator:
    models = [make_model(case, device, seed=n + 1).eval() for n in range(num_models)]
    linears = choose_linear(precision, device)  # type: ignore[arg-type]
    loaded = LoadedEnsemble(
        Ensemble([InferenceSeq2Seq(m, linears, device=device) for m in models]),
        make_pipeline(),
        device,
    )
    return Translator(loaded, TranslateConfig(beam=beam, nbest=min(beam, 3)))


def outputs(translations: Sequence[Translation]) -> list[list[object]]:
    """Tokens and approximate log-probabilities of all hypotheses, for comparisons."""
    return [
        [(each.tokens, pytest.approx(each.log_prob, abs=1e-3)) for each in t.outputs]
        for t in translations
    ]


def given_translations() -> list[ForcedTargets]:
    """`TREE` as forced decoding takes it."""
    return [ForcedTargets(source, targets) for source, targets in TREE]


def trained(folder: Path, name: str, device: torch.device, *, steps: int) -> Trainer:
    """Train, or resume a training, until it has made `steps` updates."""
    config = TRAIN.model_copy(update={"max_steps": steps, "precision": "fp32"})
    settings = MODEL.model_copy(update={"dropout": 0.0})
    trainer: Trainer = make_trainer(
        folder, name, config, settings=settings, device=device
    )
    assert trainer.fit().step == steps
    return trainer


def trained_state(trainer: Trainer) -> dict[str, Tensor]:
    """All tensors that a checkpoint keeps, on the CPU."""
    train_step = trainer._train_step
    assert train_step.average is not None
    kinds = {
        "weights": [p.detach() for p in train_step.model.parameters()],
        "optimizer": state_tensors(train_step.optimizer),
        "average": train_step.average.tensors,
    }
    return {
        f"{kind} {number}": host(tensor)
        for kind, tensors in kinds.items()
        for number, tensor in enumerate(tensors)
    }

"""Small models and what is done with them, on any device: CPU, GPU or a fake of one.

Every recipe, cut down to few cells and words; all that shapes the computation is kept.
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
from pipelines.config.schema import Config, ModelConfig, TrainConfig, TranslateConfig
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
from tests.trainer.tiny import MODEL, TRAIN, make_trainer

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
"""Error as a share of the largest value."""


@dataclass(frozen=True)
class Case:
    """A model and its training, small."""

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


def with_precision(case: Case, precision: str) -> TrainConfig:
    return case.train.model_copy(update={"precision": precision})


def make_model(
    case: Case, device: torch.device, *, seed: int = 1, vocab_size: int = VOCAB_SIZE
) -> Seq2Seq:
    model = Seq2Seq(case.model, vocab_size, vocab_size)
    initialize(model, init_range=case.model.init_range, seed=seed)
    return model.to(device)


def planned(batch: Batch, device: torch.device) -> LoadedBatch:
    """A batch as the loader hands it over."""
    return LoadedBatch(
        batch=batch if device.type == "cpu" else batch.pinned(),
        weight=1.0,
        numbers=batch.numbers,
        num_tgt_tokens=batch.num_tgt_tokens,
        num_words=batch.num_words,
        ends_epoch=False,
    )


def without_dropout(case: Case) -> Case:
    """For comparisons: random numbers depend on the device."""
    return Case(case.model.model_copy(update={"dropout": 0.0}), case.train)


def make_learner(case: Case, device: torch.device, *, precision: str) -> TrainStep:
    model = make_model(case, device).train()
    return TrainStep(model, with_precision(case, precision), DistributedContext())


def learned(learner: TrainStep, nll: Tensor, norm: Tensor, before: list[Tensor]):
    """All that one update changed, by name: gradients rather than Adam's steps."""
    found = {"nll": nll, "norm": norm}
    for number, (name, parameter) in enumerate(learner.model.named_parameters()):
        state = learner.optimizer.state[parameter]
        change = parameter.detach() - before[number]
        found[name] = state.get("exp_avg", change)
        if learner.average is not None:
            found[f"average of {name}"] = learner.average.tensors[number]
    return found


def one_update(
    case: Case,
    device: torch.device,
    precision: str,
    pairs: Sequence[tuple[list[int], list[int]]],
) -> dict[str, Tensor]:
    """All that an update changes, on the CPU."""
    learner = make_learner(case, device, precision=precision)
    before = [p.detach().clone() for p in learner.model.parameters()]
    batch = planned(make_batch(pairs), device)
    nll, norm = learner.learn(batch, step=0, rate=1e-2)
    found = learned(learner, nll, norm, before)
    return {key: host(value) for key, value in found.items()}


def assert_near(found, wanted, *, precision: str, factor: float = 1.0) -> None:
    """Equal within `factor` x the tolerance, relative to the largest value of each."""
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        error = (found[name].float() - value.float()).abs().max()
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
    """What can be compared: tokens, and log-probabilities nearly."""
    return [
        [(each.tokens, pytest.approx(each.log_prob, abs=1e-3)) for each in t.outputs]
        for t in translations
    ]


def given_translations() -> list[ForcedTargets]:
    """`TREE` as the scorer takes it."""
    return [ForcedTargets(source, targets) for source, targets in TREE]


def trained(folder: Path, name: str, device: torch.device, *, steps: int) -> Trainer:
    """Train a run, or resume it, until it has made so many updates."""
    config = TRAIN.model_copy(update={"max_steps": steps, "precision": "fp32"})
    settings = MODEL.model_copy(update={"dropout": 0.0})
    trainer: Trainer = make_trainer(
        folder, name, config, settings=settings, device=device
    )
    assert trainer.fit().step == steps
    return trainer


def trained_state(trainer: Trainer) -> dict[str, Tensor]:
    """All that a checkpoint keeps, on the CPU."""
    learner = trainer._learner
    assert learner.average is not None
    kinds = {
        "weights": [p.detach() for p in learner.model.parameters()],
        "optimizer": state_tensors(learner.optimizer),
        "average": learner.average.tensors,
    }
    return {
        f"{kind} {number}": host(tensor)
        for kind, tensors in kinds.items()
        for number, tensor in enumerate(tensors)
    }

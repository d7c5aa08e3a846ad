"""Small projects and training data to be estimated."""

import numpy as np

from pipelines.config import (
    Config,
    DataConfig,
    ModelConfig,
    PreprocessConfig,
    TrainConfig,
    load,
)
from pipelines.estimate.data import TrainingData
from pipelines.estimate.trial import StepTimer
from pipelines.model.engine.matmul import Matmul
from pipelines.tools.init import run as make_project
from tests.engines import BACKENDS, CPU

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
TEXT = (["a b c", "", "A  b", "a"], ["x y", "x", "z", "x " * 9])


def small(folder, text, **preprocess):
    for side, lines in zip(("src", "tgt"), text, strict=True):
        (folder / side).write_text("".join(f"{line}\n" for line in lines))
    return Config(
        data=DataConfig(train=("src", "tgt")),
        preprocess=PreprocessConfig(tokenizer="none", **preprocess),
    )


def paper(folder, **values):
    make_project(folder, "paper", values, force=False)
    return load(folder).config


def make_data(num_pairs):
    generator = np.random.default_rng(1)
    src, tgt = (generator.poisson(mean, num_pairs).clip(1) + 1 for mean in (25, 29))
    return TrainingData("nothing", "", src, tgt, SIZES)


def make_timer(model, train, engine="fp32 by torch"):
    config = Config(model=model, train=TRAINS[train])
    timer = StepTimer(config, SIZES, device=CPU)
    timer.train_step.matmul = Matmul(BACKENDS[engine])
    return config, timer

"""Tiny random models over a few words, frozen, with their text rules."""

import torch

from pipelines.artifacts.vocab import SPECIALS, Vocabulary
from pipelines.config import Config, ModelConfig
from pipelines.model.frozen import FrozenSeq2Seq
from pipelines.model.seq2seq import Seq2Seq, initialize
from pipelines.search.ensemble import Ensemble
from pipelines.search.members import Members
from pipelines.text.pipeline import TextPipeline, TextSettings

CPU = torch.device("cpu")
WORDS = ("a", "b", "c", "d", "e")


def make_pipeline():
    config = Config.model_validate({"preprocess": {"tokenizer": "none"}})
    vocabulary = Vocabulary((*SPECIALS, *WORDS), (0,) * 8)
    return TextPipeline(TextSettings.from_config(config), vocabulary, vocabulary)


def make_model(seed, *, cells=8):
    model = Seq2Seq(ModelConfig(layers=2, cells=cells, embedding_size=6), 8, 8)
    initialize(model, init_range=1.5, seed=seed)
    return model.eval()


def freeze(seed, *, precision="fp32", cells=8):
    return FrozenSeq2Seq(make_model(seed, cells=cells), precision=precision, device=CPU)


def make_members(*seeds, pipeline=None, precision="fp32", **options):
    models = [freeze(seed, precision=precision) for seed in seeds]
    return Members(Ensemble(models, **options), pipeline or make_pipeline(), CPU)

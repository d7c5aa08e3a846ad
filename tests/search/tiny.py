"""Tiny random models over a few words, ready for inference, with their text rules."""

import torch

from pipelines.artifacts.checkpoint import TensorBundle, write_checkpoint
from pipelines.artifacts.layout import CHECKPOINTS
from pipelines.artifacts.vocab import SPECIALS, Vocabulary
from pipelines.config import Config, ModelConfig
from pipelines.model.engine.packed_linear import choose_linear
from pipelines.model.inference import InferenceSeq2Seq
from pipelines.model.seq2seq import Seq2Seq, initialize
from pipelines.search.ensemble import Ensemble
from pipelines.search.loading import LoadedEnsemble
from pipelines.text import TextPipeline, TextSettings

CPU = torch.device("cpu")
FP32 = choose_linear("fp32", CPU)
WORDS = ("a", "b", "c", "d", "e")


def make_pipeline(**settings):
    config = Config.model_validate({"preprocess": {"tokenizer": "none", **settings}})
    vocabulary = Vocabulary((*SPECIALS, *WORDS), (0,) * 8)
    return TextPipeline(TextSettings.from_config(config), vocabulary, vocabulary)


SIZES = ModelConfig(layers=2, cells=8, embedding_size=6)


def make_model(seed, *, sizes=SIZES, num_src=8, num_tgt=8):
    model = Seq2Seq(sizes, num_src, num_tgt)
    initialize(model, init_range=1.5, seed=seed)
    return model.eval()


def make_member(seed, *, linears=FP32, sizes=SIZES):
    return InferenceSeq2Seq(make_model(seed, sizes=sizes), linears, device=CPU)


def make_members(*seeds, pipeline=None, linears=FP32, **options):
    models = [make_member(seed, linears=linears) for seed in seeds]
    return LoadedEnsemble(Ensemble(models, **options), pipeline or make_pipeline(), CPU)


def write_model(folder, seed, pipeline, **info):
    """Write a checkpoint of `make_model(seed)`."""
    num_src, num_tgt = len(pipeline.source_vocab), len(pipeline.target_vocab)
    model = make_model(seed, num_src=num_src, num_tgt=num_tgt)
    required = {
        "model": SIZES.model_dump(),
        "src_vocab_size": num_src,
        "tgt_vocab_size": num_tgt,
    }
    pipeline.save(folder / "text")
    return write_checkpoint(
        folder / CHECKPOINTS,
        seed,
        model=TensorBundle(model.state_dict(), {**required, **info}),
        trainer=TensorBundle({}, {}),
        text=folder / "text",
        run="run",
    )

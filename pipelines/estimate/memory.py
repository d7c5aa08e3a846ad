"""How much memory an update takes, by arithmetic.

Counts what `pipelines.model` keeps: weights, gradients and the optimizer's state to the
byte, the rest as its code says, each at its highest; they do not all stand highest at
one moment, so that the sum is a little too large.

Letters: N tokens of a side, H cells, E embedding size, O features, V vocabulary.
"""

from dataclasses import dataclass

import torch

from pipelines.config import ModelConfig, TrainConfig
from pipelines.data.batch import Batch
from pipelines.estimate.figures import Memory
from pipelines.model.loss import chunks
from pipelines.model.lstm import SMALL_CELLS
from pipelines.model.seq2seq import ParameterCount

_FLOAT32 = 4
_INT64 = 8


@dataclass(frozen=True, slots=True)
class Load:
    """A batch, as far as memory goes."""

    pairs: int
    src_tokens: int
    tgt_tokens: int
    src_types: int
    """Different words: rows of a sparse gradient."""
    tgt_types: int

    @classmethod
    def of(cls, batch: Batch) -> "Load":
        """What a batch weighs."""
        return cls(
            pairs=batch.num_sentences,
            src_tokens=len(batch.src.places_N),
            tgt_tokens=batch.num_tgt_tokens,
            src_types=len(batch.src.types_U),
            tgt_types=len(batch.tgt_in.types_U),
        )


@dataclass(frozen=True, slots=True)
class Engine:
    """What computes the model."""

    device: torch.device
    dtype: torch.dtype
    """Of the operands of products."""
    rounds: bool
    """Whether operands are rounded copies of the weights."""

    @property
    def item_bytes(self) -> int:
        """Of one number in an operand."""
        return self.dtype.itemsize


def estimate_memory(
    model: ModelConfig,
    train: TrainConfig,
    counted: ParameterCount,
    load: Load,
    *,
    tgt_vocab_size: int,
    engine: Engine,
    free_bytes: int | None,
) -> Memory:
    """Add up what the largest batch needs.

    Args:
        model: Sizes of the model.
        train: Optimizer and average.
        counted: Its parameters.
        load: The largest batch.
        tgt_vocab_size: Rows of the softmax.
        engine: What computes it.
        free_bytes: Of the device now, or None.
    """
    chunk = chunks(load.tgt_tokens, tgt_vocab_size, engine.device)[0]
    logits = (chunk.stop - chunk.start) * tgt_vocab_size * engine.item_bytes
    adam = train.optimizer != "sgd"
    parts = {
        "weights_bytes": _FLOAT32 * counted.total,
        "gradients_bytes": gradients_bytes(model, counted, load, sparse=not adam),
        "optimizer_bytes": 2 * _FLOAT32 * counted.total if adam else 0,
        "average_bytes": _FLOAT32 * counted.total if train.ema_decay else 0,
        "activations_bytes": _activations_bytes(model, load, engine),
        "logits_bytes": logits,
        "copies_bytes": _copies_bytes(model, counted, tgt_vocab_size, engine),
        "workspace_bytes": _workspace_bytes(model, load, logits, engine),
    }
    return Memory(
        batch_pairs=load.pairs,
        batch_source_tokens=load.src_tokens,
        batch_target_tokens=load.tgt_tokens,
        **parts,
        total_bytes=sum(parts.values()),
        free_bytes=free_bytes,
    )


def gradients_bytes(
    model: ModelConfig, counted: ParameterCount, load: Load, *, sparse: bool
) -> int:
    """Bytes of all gradients at the end of the way back.

    Args:
        model: Sizes of the model.
        counted: Its parameters.
        load: The batch.
        sparse: Whether the optimizer takes the embeddings' gradients as they come, a
            row and its number for each word of the batch; Adam does not. Tied target
            embeddings have the softmax's gradient, which is dense.
    """
    if not sparse:
        return _FLOAT32 * counted.total
    row_bytes = _FLOAT32 * model.embedding_size + _INT64
    dense = counted.total - counted.source_embedding
    rows = load.src_types
    if not model.tie_embeddings:
        dense -= counted.target_embedding
        rows += load.tgt_types
    return _FLOAT32 * dense + row_bytes * rows


def _own_engine(model: ModelConfig, engine: Engine) -> bool:
    return engine.device.type != "cuda" or model.peepholes


def _trace_bytes(model: ModelConfig, engine: Engine) -> int:
    """Bytes that a cell leaves at each step, besides its output."""
    plain = not (model.peepholes or engine.rounds)
    if engine.device.type == "cpu" and plain and model.cells <= SMALL_CELLS:
        return _FLOAT32 * 11
    if _own_engine(model, engine):
        return _FLOAT32 * (7 if model.peepholes else 6)
    return engine.item_bytes * 6


def _activations_bytes(model: ModelConfig, load: Load, engine: Engine) -> int:
    """What a forward pass leaves for the way back.

    A token leaves in each layer its output and, in our own engine, factors of the four
    gates, what carries the output to the cell, and the forget gate, in float32, with
    peepholes the cell, too (`Trace`). The library on a GPU keeps gates, cell and its
    tanh: an estimate. oneDNN's, for small layers, was measured. Dropout keeps a mask
    and what it has let through.
    """
    tokens, item = load.src_tokens + load.tgt_tokens, engine.item_bytes
    layer = model.cells * (item + _trace_bytes(model, engine))
    embedding = model.embedding_size * item + 2 * _INT64
    if model.dropout:
        layer += model.cells * (1 + item)
        embedding += model.embedding_size
    features = model.embedding_size if model.tie_embeddings else model.cells
    # What the softmax reads, if it is projected, and its gradient.
    top = features * item * (2 if model.tie_embeddings else 1)
    return tokens * (model.layers * layer + embedding) + load.tgt_tokens * top


def _copies_bytes(
    model: ModelConfig, counted: ParameterCount, tgt_vocab_size: int, engine: Engine
) -> int:
    """Copies of weights, and products as large as weights.

    The softmax's weights are rounded, and so is what is added to their gradient. On a
    CPU a layer's weights are laid out anew while it runs; on a GPU the library's are
    rounded for all layers at once.
    """
    features = model.embedding_size if model.tie_embeddings else model.cells
    softmax = 2 * tgt_vocab_size * features if engine.rounds else 0
    widest = max(model.embedding_size if model.layers == 1 else 0, model.cells)
    layers = 4 * model.cells * widest * (2 if engine.rounds else 1)
    if not _own_engine(model, engine):
        layers = counted.recurrent if engine.rounds else 0
    return (softmax + layers) * engine.item_bytes


def _workspace_bytes(
    model: ModelConfig, load: Load, logits_bytes: int, engine: Engine
) -> int:
    """What the layer at work holds besides, or the softmax if that is more.

    A layer holds its gates before they are bent or, on the way back, gradients of its
    gates, its input and its output. A CPU rounds logits into a copy, and without such
    instructions by way of bfloat16.
    """
    tokens = max(load.src_tokens, load.tgt_tokens)
    layer = tokens * model.cells * 8 * engine.item_bytes
    if engine.device.type == "cuda" or not engine.rounds:
        return layer
    rounded = logits_bytes * 3 // 2 if engine.dtype is torch.float32 else logits_bytes
    return max(layer, rounded)

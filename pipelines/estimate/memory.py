"""The memory that training needs on its device.

Weights, optimizer state, average and gradients are known to the byte. The rest of a
train step, activations above all, depends on the engine and is measured by a trial.
"""

from dataclasses import dataclass

from pipelines.config import Config, ModelConfig
from pipelines.data.batch import Batch
from pipelines.model.seq2seq import ParameterCount

_FLOAT32_BYTES = 4
_INT64_BYTES = 8


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of a train step on the largest batch."""

    batch_pairs: int
    batch_source_tokens: int
    batch_target_tokens: int
    weights_bytes: int
    gradients_bytes: int
    optimizer_bytes: int
    average_bytes: int
    free_bytes: int | None
    """Free memory of the device now; None where it is unknown."""
    workspace_bytes: int = 0
    """Activations and all else that a step allocates; 0 without a trial."""
    measured_words: int = 0
    """Source and target tokens of the largest batch that was measured."""
    measured_updates: int = 0
    """Updates of growing size; after a single one the estimate is rough and high."""

    @property
    def resident_bytes(self) -> int:
        """Bytes that stay allocated between steps."""
        return self.weights_bytes + self.optimizer_bytes + self.average_bytes

    @property
    def total_bytes(self) -> int:
        """All known bytes."""
        return self.resident_bytes + self.gradients_bytes + self.workspace_bytes

    @property
    def batch_words(self) -> int:
        """Source and target tokens of the batch, EOS included."""
        return self.batch_source_tokens + self.batch_target_tokens

    @property
    def fits(self) -> bool:
        """Whether the device has so much free memory, or its free memory is unknown."""
        return self.free_bytes is None or self.total_bytes <= self.free_bytes


def known_memory(
    config: Config, parameters: ParameterCount, batch: Batch, *, free_bytes: int | None
) -> Memory:
    """Add up the memory that is known before anything runs.

    Args:
        config: Sizes of the model, optimizer and average.
        parameters: The model's parameters.
        batch: The largest batch.
        free_bytes: Free memory of the device now, or None.
    """
    weights_bytes = _FLOAT32_BYTES * parameters.total
    sgd = config.train.optimizer == "sgd"
    return Memory(
        batch_pairs=batch.num_sentences,
        batch_source_tokens=len(batch.src.inverse_N),
        batch_target_tokens=batch.num_tgt_tokens,
        weights_bytes=weights_bytes,
        gradients_bytes=(
            _sparse_gradients_bytes(config.model, parameters, batch)
            if sgd
            else weights_bytes
        ),
        optimizer_bytes=0 if sgd else 2 * weights_bytes,
        average_bytes=weights_bytes if config.train.ema_decay else 0,
        free_bytes=free_bytes,
    )


def _sparse_gradients_bytes(
    model: ModelConfig, parameters: ParameterCount, batch: Batch
) -> int:
    """Bytes of all gradients where those of the embeddings are sparse.

    SGD keeps them sparse: a row and its index for each different word of the batch.
    Tied target embeddings have the gradient of the softmax weights, which is dense.
    """
    dense = parameters.total - parameters.source_embedding
    rows = len(batch.src.unique_U)
    if not model.tie_embeddings:
        dense -= parameters.target_embedding
        rows += len(batch.tgt_in.unique_U)
    row_bytes = _FLOAT32_BYTES * model.embedding_size + _INT64_BYTES
    return _FLOAT32_BYTES * dense + row_bytes * rows

"""The numbers of an estimate: values only, units in the names.

Words are source and target tokens together, EOS included: the unit of speed.
"""

from dataclasses import dataclass

from pipelines.estimate.data import Basis


@dataclass(frozen=True, slots=True)
class Parameters:
    """Numbers of weights, by part."""

    source_vocabulary: int
    """Entries, special symbols included."""
    target_vocabulary: int
    source_embeddings: int
    target_embeddings: int
    encoder: int
    """Input and recurrent weights of its layers."""
    decoder: int
    output: int
    """Of the softmax; 0 where it shares the target embeddings."""
    projection: int
    """From the cells to the embeddings' size, where the softmax shares them."""
    peepholes: int
    biases: int
    recurrent: int
    """Encoder and decoder."""
    without_biases: int
    """As the paper counts: without peepholes, too (section 3.4)."""
    total: int


@dataclass(frozen=True, slots=True)
class Epoch:
    """What an epoch is made of, and how long training goes on."""

    basis: Basis
    reason: str
    """Why the data are not known exactly; empty where they are."""
    pairs: int
    words: int
    updates: int
    epochs: float
    """Of the whole training; fewer than asked for where max_steps ends it."""
    total_updates: int
    total_words: int


@dataclass(frozen=True, slots=True)
class RateChange:
    """A learning rate, and where it begins."""

    after_updates: int
    epoch: float
    learning_rate: float


@dataclass(frozen=True, slots=True)
class Memory:
    """What one update needs at its largest batch, on the device."""

    batch_pairs: int
    batch_source_tokens: int
    batch_target_tokens: int
    weights_bytes: int
    gradients_bytes: int
    optimizer_bytes: int
    average_bytes: int
    activations_bytes: int
    """What the way back needs of all layers."""
    logits_bytes: int
    """Of one chunk of rows."""
    copies_bytes: int
    """Weights in the products' precision or layout."""
    workspace_bytes: int
    """Of the layer that is being computed."""
    total_bytes: int
    free_bytes: int | None
    """Of the device now; None where the system does not tell."""

    @property
    def fits(self) -> bool:
        """Whether as much is free, as far as one knows."""
        return self.free_bytes is None or self.total_bytes <= self.free_bytes


@dataclass(frozen=True, slots=True)
class Speed:
    """What a short trial found."""

    trial_updates: int
    trial_pairs: int
    """Of an update that was timed."""
    trial_words: int
    """Of the same; a part of a batch where a whole one takes too long."""
    trial_s: float
    words_per_s: float
    update_s: float
    """Of a whole batch of the mean size."""
    training_s: float
    """Of all updates; validations and checkpoints come on top."""


@dataclass(frozen=True, slots=True)
class Disk:
    """What checkpoints take."""

    checkpoint_bytes: int
    num_checkpoints: int
    """Kept at most, with the one that is being written."""
    total_bytes: int
    free_bytes: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """All that is known of a training before it starts."""

    device: str
    precision: str
    parameters: Parameters
    epoch: Epoch
    schedule: str
    rate_changes: tuple[RateChange, ...]
    memory: Memory
    disk: Disk
    speed: Speed | None
    no_speed: str
    """Why nothing was timed; empty where it was."""

"""The section `[train]`: optimizer, schedule, batches, limits and checkpoints."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipelines.config.section import (
    EXECUTION,
    Device,
    NonNegative,
    Positive,
    Rate,
    Section,
)


class TrainConfig(Section):
    """Training: optimizer, schedule, batches, limits and checkpoints."""

    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    """Optimizer; the paper uses sgd, without momentum."""
    learning_rate: Annotated[float, Field(gt=0.0)] = 0.7
    """Learning rate after the warmup and before the schedule lowers it."""
    schedule: Literal["constant", "halving", "inverse_sqrt", "cosine"] = "halving"
    """Schedule that lowers the learning rate; the paper uses halving."""
    warmup_steps: NonNegative = 0
    """Number of updates over which the learning rate rises from zero."""
    halve_after_epochs: Annotated[float, Field(ge=0.0)] = 5.0
    """Number of epochs before the first halving, with schedule = "halving"."""
    halve_every_epochs: Annotated[float, Field(gt=0.0)] = 0.5
    """Number of epochs between two halvings, with schedule = "halving"."""
    betas: tuple[Rate, Rate] = (0.9, 0.98)
    """Decay rates of the two moments of adam and adamw."""
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.0
    """Decoupled weight decay of adamw."""
    clip_norm: Annotated[float, Field(ge=0.0)] = 5.0
    """Largest L2 norm of the gradient over all parameters; 0 turns clipping off."""
    label_smoothing: Rate = 0.0
    """Probability mass that label smoothing spreads over the target vocabulary."""
    loss_per: Literal["sentence", "token"] = "sentence"
    """Unit over which the loss of a batch is averaged; the paper uses sentence."""
    ema_decay: Rate = 0.0
    """Decay of the moving average of the weights, which is saved in place of the
    weights; 0 turns it off."""
    batch_size: Positive = 128
    """Number of sentence pairs in a batch."""
    max_batch_tokens: Positive = 32_768
    """Largest number of tokens on a side of a batch, which limits batch_size."""
    max_epochs: Annotated[float, Field(gt=0.0)] = 7.5
    """Stop after this many passes over the training pairs, which may be a fraction."""
    max_steps: NonNegative = 0
    """Stop after this many updates; 0 is no limit."""
    max_minutes: Annotated[float, Field(ge=0.0)] = 0.0
    """Stop after this many minutes of updates, across resumes; 0 is no limit."""
    validate_every_epochs: Annotated[float, Field(gt=0.0)] = 0.5
    """Number of epochs between two validations, each of which writes a checkpoint."""
    checkpoint_every_steps: NonNegative = 0
    """Number of updates between further checkpoints; 0 writes no further ones."""
    valid_bleu: bool = False
    """Translate the validation split greedily at each validation and report BLEU."""
    best_by: Literal["perplexity", "bleu"] = "perplexity"
    """Metric that chooses the best checkpoint; bleu needs valid_bleu = true."""
    patience: NonNegative = 0
    """Stop after this many validations without improvement; 0 never stops early."""
    keep_last: Positive = 2
    """Number of newest checkpoints to keep."""
    keep_best: Positive = 1
    """Number of best checkpoints to keep."""
    seed: NonNegative = 1
    """Seed of the initial weights, of the order of batches and of dropout."""
    device: Device = Field(default="auto", json_schema_extra=EXECUTION)
    """Device (auto, cpu, cuda, cuda:N); auto takes a GPU if there is one."""
    precision: Literal["auto", "fp32", "tf32", "bf16"] = "auto"
    """Precision of matrix multiplications; auto is bf16 if the hardware supports it,
    else fp32, and the choice is recorded in the manifest and in each checkpoint."""
    threads: NonNegative = Field(default=0, json_schema_extra=EXECUTION)
    """Number of CPU threads; 0 lets torch choose."""
    tensorboard: bool = Field(default=False, json_schema_extra=EXECUTION)
    """Write TensorBoard events in addition to metrics.jsonl."""

    @model_validator(mode="after")
    def _require_bleu_for_best_by(self) -> Self:
        if self.best_by == "bleu" and not self.valid_bleu:
            raise ValueError("best_by = 'bleu' needs valid_bleu = true")
        return self

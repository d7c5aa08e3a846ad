"""The state of a training besides its tensors: `trainer.json` in a checkpoint.

Imports no torch, so that commands which only report a training's progress start fast.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from pipelines.artifacts.run_record import ARITHMETIC


@dataclass(frozen=True, slots=True)
class ValidationResult:
    """The metrics of one validation."""

    perplexity: float
    """exp of the mean negative log-likelihood of a target token, EOS included."""
    bleu: float | None = None

    def better_than(self, best: "ValidationResult | None", by: str) -> bool:
        """Whether this is the best result so far; the earlier one wins a tie."""
        if best is None:
            return True
        return self.rank(by) < best.rank(by)

    def rank(self, by: str) -> float:
        """Value to compare results by, lower is better.

        Args:
            by: `perplexity` or `bleu`.
        """
        return -(self.bleu or 0.0) if by == "bleu" else self.perplexity


@dataclass(slots=True)
class TrainState:
    """Progress of a training: all of its state besides weights and optimizer state."""

    step: int = 0
    """Updates so far."""
    epoch: int = 0
    batch: int = 0
    """Batches of this epoch that are done."""
    steps_per_epoch: int = 0
    """Batches of an epoch, by the settings of batching that `batch` goes by."""
    ahead: int = 0
    """`schedule_step - step`. Not 0 only after a fork that changed the batches."""
    validations_without_gain: int = 0
    elapsed_s: float = 0.0
    """Time spent in updates, over all sessions."""
    num_words: int = 0
    """Source and target words seen, EOS included."""
    best: ValidationResult | None = None
    best_step: int = 0
    scores: dict[int, float] = field(default_factory=dict)
    """Step of each kept validated checkpoint -> its rank, lower is better."""

    @property
    def schedule_step(self) -> int:
        """Step by which learning rate, validations and `max_epochs` go.

        A training that had the present batches from the start would be at this step.
        """
        return self.step + self.ahead

    def advance(self, *, num_words: int, ends_epoch: bool) -> None:
        """Count one update.

        Args:
            num_words: Source and target words of its batch, EOS included.
            ends_epoch: Whether its batch was the last one of the epoch.
        """
        self.step += 1
        self.batch += 1
        self.num_words += num_words
        if ends_epoch:
            self.epoch += 1
            self.batch = 0

    def to_info(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_info(cls, info: Mapping[str, Any]) -> "TrainState":
        """Read the content of `trainer.json`, apart from its arithmetic."""
        best = info["best"]
        scores = {int(step): value for step, value in info["scores"].items()}
        other = ("best", "scores", ARITHMETIC)
        plain = {k: v for k, v in info.items() if k not in other}
        result = ValidationResult(**best) if best else None
        return cls(**plain, best=result, scores=scores)

    def at_fork(self) -> "TrainState":
        """Keep the place in the data and drop all measurements."""
        return TrainState(
            step=self.step,
            epoch=self.epoch,
            batch=self.batch,
            steps_per_epoch=self.steps_per_epoch,
            ahead=self.ahead,
        )

    def rebatched(self, *, steps_per_epoch: int, num_batches: int) -> "TrainState":
        """Move to the same fraction of the epoch in other batches, rounded down.

        Learning rate and validations go by epochs, so they continue where they were.

        Args:
            steps_per_epoch: Batches of an epoch now.
            num_batches: Batches of the current epoch now.
        """
        before = self.steps_per_epoch or steps_per_epoch
        schedule_step = self.schedule_step * steps_per_epoch // before
        return replace(
            self,
            batch=min(self.batch * num_batches // before, num_batches - 1),
            steps_per_epoch=steps_per_epoch,
            ahead=schedule_step - self.step,
        )

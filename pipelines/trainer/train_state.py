"""Where a training run stands: what a checkpoint keeps beside weights and optimizer."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from pipelines.artifacts.run_record import ARITHMETIC
from pipelines.data.loader import LoadedBatch
from pipelines.trainer.validation import Validation


@dataclass(slots=True)
class TrainState:
    """Where training stands: all that is neither a weight nor the optimizer's."""

    step: int = 0
    epoch: int = 0
    batch: int = 0
    """Batches of this epoch that are done."""
    steps_per_epoch: int = 0
    """Of the plan by which `step` and `batch` are counted."""
    ahead: int = 0
    """What is to be added to `step` for the step at which a training would be that had
    this plan from the start; other than 0 only after a fork that changed the plan."""
    validations_without_gain: int = 0
    elapsed_s: float = 0.0
    """Time spent in updates, over all runs."""
    num_words: int = 0
    """Source and target words seen, EOS included."""
    best: Validation | None = None
    best_step: int = 0
    scores: dict[int, float] = field(default_factory=dict)
    """Step of each kept checkpoint -> what it is ranked by, lower is better."""

    def advance(self, planned: LoadedBatch) -> None:
        """Count one update."""
        self.step += 1
        self.batch += 1
        self.num_words += planned.num_words
        if planned.ends_epoch:
            self.epoch += 1
            self.batch = 0

    def to_info(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    def at_fork(self) -> "TrainState":
        """The same place in the data, for a training that has measured nothing yet."""
        return TrainState(
            step=self.step,
            epoch=self.epoch,
            batch=self.batch,
            steps_per_epoch=self.steps_per_epoch,
            ahead=self.ahead,
        )

    def replanned(self, *, steps_per_epoch: int, num_batches: int) -> "TrainState":
        """The same fraction of the epoch in another plan, rounded down to a batch.

        The schedule and the validations go by epochs, and so they do not notice.

        Args:
            steps_per_epoch: Of the new plan.
            num_batches: That the new plan has in this very epoch.
        """
        before = self.steps_per_epoch or steps_per_epoch
        planned = (self.step + self.ahead) * steps_per_epoch // before
        return replace(
            self,
            batch=min(self.batch * num_batches // before, num_batches - 1),
            steps_per_epoch=steps_per_epoch,
            ahead=planned - self.step,
        )

    @classmethod
    def from_info(cls, info: Mapping[str, Any]) -> "TrainState":
        """Read the content of `trainer.json`; its arithmetic is not part of this."""
        best = info["best"]
        scores = {int(step): value for step, value in info["scores"].items()}
        other = ("best", "scores", ARITHMETIC)
        plain = {k: v for k, v in info.items() if k not in other}
        return cls(**plain, best=Validation(**best) if best else None, scores=scores)

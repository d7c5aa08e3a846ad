"""Where a training run stands: what a checkpoint keeps beside weights and optimizer."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pipelines.trainer.validation import Validation


@dataclass(slots=True)
class Position:
    """Where training stands: all that is neither a weight nor the optimizer's."""

    step: int = 0
    epoch: int = 0
    batch: int = 0
    """Batches of this epoch that are done."""
    validations_without_gain: int = 0
    elapsed_s: float = 0.0
    """Time spent in updates, over all runs."""
    num_words: int = 0
    """Source and target words seen, EOS included."""
    best: Validation | None = None
    best_step: int = 0
    scores: dict[int, float] = field(default_factory=dict)
    """Step of each kept checkpoint -> what it is ranked by, lower is better."""

    def to_info(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_info(cls, info: Mapping[str, Any]) -> "Position":
        """The way back."""
        best = info["best"]
        scores = {int(step): value for step, value in info["scores"].items()}
        plain = {k: v for k, v in info.items() if k not in ("best", "scores")}
        return cls(**plain, best=Validation(**best) if best else None, scores=scores)

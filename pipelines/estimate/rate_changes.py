"""The learning rates of a training, and the updates at which they change."""

from bisect import bisect_left
from dataclasses import dataclass

from pipelines.config import TrainConfig
from pipelines.trainer.schedule import learning_rate

_MAX_CHANGES = 40


@dataclass(frozen=True, slots=True)
class RateChange:
    """A learning rate, and the update after which it holds."""

    after_updates: int
    epoch: float
    learning_rate: float


def rate_changes(
    config: TrainConfig, *, steps_per_epoch: int, total_steps: int
) -> tuple[RateChange, ...]:
    """List the learning rates of a training, in order.

    For `halving` every rate (at most 40) with the update where it begins; for the other
    schedules the rates at the start, the end of the warm-up, the quarters and the end.

    Source: Sutskever et al. 2014, section 3.4.
    """

    def rate(step: int) -> float:
        return learning_rate(
            step, config, steps_per_epoch=steps_per_epoch, total_steps=total_steps
        )

    def next_change(step: int) -> int:
        after = range(step, last + 1)  # rates only fall
        return step + bisect_left(after, True, key=lambda n: rate(n) != rate(step))

    last = max(0, total_steps - 1)
    warmup = min(config.warmup_steps, last)
    steps = [0, warmup]
    if config.schedule == "halving":
        while len(steps) < _MAX_CHANGES and rate(steps[-1]) != rate(last):
            steps.append(next_change(steps[-1]))
    else:
        quarters = (total_steps * n // 4 for n in (1, 2, 3))
        steps += [*quarters, last]
    return tuple(
        RateChange(step, round(step / steps_per_epoch, 4), rate(step))
        for step in sorted(set(steps))
    )

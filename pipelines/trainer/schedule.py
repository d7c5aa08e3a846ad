"""Learning rate and last step as functions of the step and the settings alone.

So a resumed training has the learning rates of one that was never stopped.
"""

import math

from pipelines.config import TrainConfig

_COSINE_FLOOR = 0.02
"""Final learning rate of `cosine`, as a share of the highest one."""


def learning_rate(
    step: int, config: TrainConfig, *, steps_per_epoch: int, total_steps: int
) -> float:
    """Learning rate of the update that follows `step` updates.

    `halving` is the paper's: "a fixed learning rate of 0.7. After 5 epochs, we begun
    halving the learning rate every half epoch" (section 3.4); the first halving comes
    at `halve_after_epochs` itself.
    """
    peak = config.learning_rate
    warmup = config.warmup_steps
    if step < warmup:
        return peak * (step + 1) / warmup
    match config.schedule:
        case "halving":
            epoch = step / steps_per_epoch
            past = epoch - config.halve_after_epochs
            # The tolerance makes up for rounding where a boundary falls on a step.
            periods = math.floor(past / config.halve_every_epochs + 1e-9)
            return float(peak * 0.5 ** (periods + 1)) if past >= -1e-9 else peak
        case "inverse_sqrt":
            return peak * math.sqrt(max(warmup, 1) / max(step + 1, 1))
        case "cosine":
            done = min(1.0, (step - warmup) / max(1, total_steps - warmup))
            wave = 0.5 * (1 + math.cos(math.pi * done))
            return peak * (_COSINE_FLOOR + (1 - _COSINE_FLOOR) * wave)
        case "constant":
            return peak


def last_step(config: TrainConfig, *, steps_per_epoch: int, ahead: int) -> int:
    """Step at which training ends, unless time or early stopping ends it before.

    Args:
        config: `max_epochs` and `max_steps` limit the training.
        steps_per_epoch: Batches of an epoch.
        ahead: As in `TrainState`: `max_epochs` limits `step + ahead`, `max_steps` the
            step itself.
    """
    last = math.ceil(config.max_epochs * steps_per_epoch) - ahead
    return min(last, config.max_steps) if config.max_steps else last

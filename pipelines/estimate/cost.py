"""The cost of a training in one line, logged before it starts."""

import logging

from pipelines.artifacts.layout import Layout
from pipelines.config import Config
from pipelines.estimate.training import Estimate, estimate, quick_estimate
from pipelines.trainer.schedule import last_step
from pipelines.trainer.train_state import TrainState
from pipelines.wording import plural

log = logging.getLogger(__name__)

_SLOW_FLOPS = 5e10
"""Speed of a slow processor."""
_LONG_S = 300.0
"""A training that takes longer on a slow processor is timed by a trial."""
_MILLION = 1e6
_FLOPS_A_WEIGHT = 6
"""Operations on a weight for each word: a multiplication and an addition in the forward
pass, and two of each in the backward pass."""


def log_cost(
    config: Config,
    layout: Layout,
    *,
    with_trial: bool,
    resumed: TrainState | None = None,
) -> None:
    """Log the cost of training a preprocessed project.

    Args:
        config: The project's settings.
        layout: Its folders, with shards.
        with_trial: Time a few train steps if the training may be long.
        resumed: State of a training that is resumed.

    Raises:
        UsageError: The device does not exist or does not support the precision.
        ArtifactError: A shard is damaged.
    """
    cost = quick_estimate(config, layout, most_bytes=0)
    if with_trial and may_be_long(cost, num_updates_left(cost, config, resumed)):
        cost = estimate(config, layout)
    log.info("train: %s", describe_cost(cost, config, resumed))


def num_updates_left(cost: Estimate, config: Config, resumed: TrainState | None) -> int:
    """Count the remaining updates of a training, without its limit in minutes."""
    if resumed is None:
        return cost.epoch.total_updates
    last = last_step(
        config.train, steps_per_epoch=cost.epoch.updates, ahead=resumed.ahead
    )
    return max(0, last - resumed.step)


def may_be_long(cost: Estimate, num_updates: int) -> bool:
    """Whether so many updates would take minutes on a slow processor."""
    parameters, epoch = cost.parameters, cost.epoch
    weights = parameters.recurrent + parameters.output + parameters.projection
    work = _FLOPS_A_WEIGHT * weights * epoch.words / epoch.updates * num_updates
    return work / _SLOW_FLOPS > _LONG_S


def describe_cost(cost: Estimate, config: Config, resumed: TrainState | None) -> str:
    """Describe the updates, size, memory, disk space and time of a training."""
    epoch, memory, speed = cost.epoch, cost.memory, cost.speed
    left = num_updates_left(cost, config, resumed)
    number = f"{plural(left, 'update')} in all"
    if resumed is not None:
        number = f"{plural(left, 'update')} left after step {resumed.step:,}"
    parameters = cost.parameters.total
    size = f"{parameters / 1e6:.1f}M" if parameters >= _MILLION else f"{parameters:,}"
    at_least = "" if memory.measured_words else "at least "
    parts = [
        f"{number}, {plural(epoch.epochs, 'epoch')} of {plural(epoch.pairs, 'pair')}, "
        f"{size} parameters",
        f"{at_least}{_megabytes(memory.total_bytes)} of memory",
        f"{_megabytes(cost.disk.total_bytes)} of disk",
    ]
    if speed is None:
        parts.append("s2s train --dry-run times it")
    else:
        seconds = left * speed.update_s
        if config.train.max_minutes:
            spent_s = 0.0 if resumed is None else resumed.elapsed_s
            seconds = min(seconds, max(0.0, 60 * config.train.max_minutes - spent_s))
        parts.append(f"about {_duration(seconds)} on {cost.device}")
    return "; ".join(parts)


def _megabytes(num_bytes: int) -> str:
    number = num_bytes / _MILLION
    return f"{number:,.0f} MB" if number >= 10 else f"{number:.1f} MB"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:,.1f} hours"

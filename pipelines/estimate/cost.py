"""The cost of a training in one line, said before it starts."""

import logging

from pipelines.artifacts.layout import Layout
from pipelines.config import Config
from pipelines.estimate.training import Estimate, estimate, quick_estimate
from pipelines.wording import plural

log = logging.getLogger(__name__)

_SLOW_FLOPS = 5e10
"""Floating-point operations a second of a slow processor."""
_LONG_S = 300.0
"""A training that takes so long on a slow processor is timed by a trial."""
_FLOPS_A_WEIGHT = 6
"""Of a weight for each word: a multiplication and an addition, forward and twice in
the backward pass."""


def log_cost(config: Config, layout: Layout, *, with_trial: bool) -> None:
    """Log what the training of a preprocessed project takes.

    Args:
        config: The project's settings.
        layout: Its folders, with shards.
        with_trial: Time a few train steps if the training may be long.

    Raises:
        UsageError: The device or the precision is not there.
        ArtifactError: A shard is damaged.
    """
    found = quick_estimate(config, layout, most_bytes=0)
    if with_trial and may_be_long(found):
        found = estimate(config, layout)
    log.info("train: %s", describe_cost(found))


def may_be_long(found: Estimate) -> bool:
    """Whether a training would take minutes on a slow processor."""
    counted = found.parameters
    weights = counted.recurrent + counted.output + counted.projection
    work = _FLOPS_A_WEIGHT * weights * found.epoch.total_words
    return work / _SLOW_FLOPS > _LONG_S


def describe_cost(found: Estimate) -> str:
    """The updates, the size, the time, the memory and the disk space of a training."""
    epoch, memory, speed = found.epoch, found.memory, found.speed
    parts = [
        f"{plural(epoch.total_updates, 'update')} in all, "
        f"{plural(epoch.epochs, 'epoch')} of {plural(epoch.pairs, 'pair')}, "
        f"{found.parameters.total / 1e6:.1f}M parameters",
        "" if memory.measured_words else "at least ",
        f"{found.disk.total_bytes / 1e6:,.0f} MB of disk",
    ]
    parts[1] += f"{memory.total_bytes / 1e6:,.0f} MB of memory"
    if speed is None:
        parts.append("s2s train --dry-run times it")
    else:
        parts.append(f"about {_duration(speed.training_s)} on {found.device}")
    return "; ".join(parts)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:,.1f} hours"

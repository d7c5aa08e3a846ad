"""How an epoch is cut into batches, and how many steps a training has."""

import math

from pipelines.config import TrainConfig
from pipelines.data.batching import PairIds, epoch_batches
from pipelines.data.dataset import ParallelDataset


def batches_of(
    dataset: ParallelDataset, config: TrainConfig, *, epoch: int
) -> list[PairIds]:
    """The numbers of the pairs in each batch of an epoch."""
    return epoch_batches(
        dataset.src_lengths,
        dataset.tgt_lengths,
        batch_size=config.batch_size,
        max_tokens=config.max_batch_tokens,
        seed=config.seed,
        epoch=epoch,
    )


def last_step(config: TrainConfig, *, steps_per_epoch: int, ahead: int) -> int:
    """The update after which training ends, if nothing ends it before.

    Args:
        config: Its limits.
        steps_per_epoch: Batches of an epoch.
        ahead: Steps by which the plan is ahead of the count, as in `TrainState`.
    """
    last = math.ceil(config.max_epochs * steps_per_epoch) - ahead
    return min(last, config.max_steps) if config.max_steps else last

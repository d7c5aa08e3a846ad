"""Assign pairs to batches by length, in a seeded order.

Pairs of one source length share a batch, so the encoder needs neither padding nor
packing; "the sentences in a minibatch are roughly of the same length, yielding a 2x
speedup" (section 3.4). The order is a function of (seed, epoch) alone, so training can
resume at any batch.
"""

import numpy as np

from pipelines.config import TrainConfig
from pipelines.data.dataset import Lengths, PairIds


def epoch_batches(
    src_lengths: Lengths, tgt_lengths: Lengths, config: TrainConfig, epoch: int
) -> list[PairIds]:
    """Cut an epoch into shuffled batches.

    Each source length gives as many full batches as it can, ordered inside by target
    length; the left-over pairs of all lengths are sorted and batched together.

    Args:
        src_lengths: int64 [pairs].
        tgt_lengths: int64 [pairs].
        config: `batch_size` is the most pairs in a batch, `max_batch_tokens` the most
            tokens of a side of a batch, padding included; a longer pair makes a batch
            by itself. `seed` seeds the order.
        epoch: From 0.

    Returns:
        The pairs of each batch; every pair is in exactly one.
    """
    batch_size = config.batch_size
    generator = np.random.default_rng([config.seed, epoch])
    order = generator.permutation(len(src_lengths))
    order = order[np.lexsort((tgt_lengths[order], src_lengths[order]))]
    full: list[PairIds] = []
    left_over = [np.zeros(0, dtype=np.int64)]
    for group in _split_by_length(order, src_lengths):
        num_full = len(group) - len(group) % batch_size
        # Which pairs are left over is random, not always the longest targets.
        offset = int(generator.integers(len(group) - num_full + 1))
        full += _chunks(group[offset : offset + num_full], batch_size)
        left_over += [group[:offset], group[offset + num_full :]]
    full += _chunks(np.concatenate(left_over), batch_size)
    longest = np.maximum(src_lengths, tgt_lengths)
    batches = _limit_tokens(full, longest, config.max_batch_tokens)
    return [batches[i] for i in generator.permutation(len(batches))]


def sequential_batches(
    src_lengths: Lengths, tgt_lengths: Lengths, config: TrainConfig
) -> list[PairIds]:
    """Cut a dataset into batches in order of length, without randomness."""
    order = np.lexsort((tgt_lengths, src_lengths))
    full = [
        batch
        for group in _split_by_length(order, src_lengths)
        for batch in _chunks(group, config.batch_size)
    ]
    longest = np.maximum(src_lengths, tgt_lengths)
    return _limit_tokens(full, longest, config.max_batch_tokens)


def _split_by_length(order: PairIds, lengths: Lengths) -> list[PairIds]:
    """Split sorted pairs into groups of one length."""
    return np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1)


def _chunks(pair_ids: PairIds, size: int) -> list[PairIds]:
    return [pair_ids[i : i + size] for i in range(0, len(pair_ids), size)]


def _limit_tokens(
    batches: list[PairIds], longest: Lengths, max_tokens: int
) -> list[PairIds]:
    """Halve batches until each has at most `max_tokens` tokens, padding included."""
    limited: list[PairIds] = []
    for batch in batches:
        if len(batch) == 1 or int(longest[batch].max()) * len(batch) <= max_tokens:
            limited.append(batch)
        else:
            middle = len(batch) // 2
            halves = [batch[:middle], batch[middle:]]
            limited += _limit_tokens(halves, longest, max_tokens)
    return limited

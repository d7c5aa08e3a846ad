"""Which pairs go together: batches by length, in a seeded order.

Pairs of one source length share a batch, so the encoder needs neither padding nor
packing; "the sentences in a minibatch are roughly of the same length, yielding a 2x
speedup" (section 3.4). Order is a function of (seed, epoch) alone: training resumes at
any batch.
"""

import numpy as np
from numpy.typing import NDArray

PairIds = NDArray[np.int64]


def epoch_batches(
    src_lengths: PairIds,
    tgt_lengths: PairIds,
    *,
    batch_size: int,
    max_tokens: int,
    seed: int,
    epoch: int,
) -> list[PairIds]:
    """Cut an epoch into batches.

    Each source length gives as many full batches as it can, ordered inside by target
    length; what is left over of all lengths is sorted and batched together.

    Args:
        src_lengths: int64 [pairs], tokens of the sources.
        tgt_lengths: int64 [pairs], tokens of the targets.
        batch_size: Most pairs in a batch.
        max_tokens: Most tokens of a side of a batch, padding included; a longer pair
            makes a batch by itself.
        seed: Of the run.
        epoch: From 0.

    Returns:
        Arrays of pair numbers; every pair is in exactly one, the batches are shuffled.
    """
    generator = np.random.default_rng([seed, epoch])
    order = generator.permutation(len(src_lengths))
    order = order[np.lexsort((tgt_lengths[order], src_lengths[order]))]
    longest = np.maximum(src_lengths, tgt_lengths)
    full: list[PairIds] = []
    left: list[PairIds] = []
    changes = np.flatnonzero(np.diff(src_lengths[order])) + 1
    for group in np.split(order, changes):
        num_full = len(group) - len(group) % batch_size
        # Which pairs are left over is chance, not always the longest targets.
        offset = int(generator.integers(len(group) - num_full + 1))
        kept = group[offset : offset + num_full]
        full += [kept[i : i + batch_size] for i in range(0, num_full, batch_size)]
        left.append(np.concatenate([group[:offset], group[offset + num_full :]]))
    rest = np.concatenate([np.zeros(0, dtype=np.int64), *left])
    full += [rest[i : i + batch_size] for i in range(0, len(rest), batch_size)]
    batches = [piece for batch in full for piece in _split(batch, longest, max_tokens)]
    return [batches[i] for i in generator.permutation(len(batches))]


def sequential_batches(
    src_lengths: PairIds, tgt_lengths: PairIds, *, batch_size: int, max_tokens: int
) -> list[PairIds]:
    """Batches in order of length, without chance: for validation."""
    order = np.lexsort((tgt_lengths, src_lengths))
    longest = np.maximum(src_lengths, tgt_lengths)
    changes = np.flatnonzero(np.diff(src_lengths[order])) + 1
    return [
        piece
        for group in np.split(order, changes)
        for i in range(0, len(group), batch_size)
        for piece in _split(group[i : i + batch_size], longest, max_tokens)
    ]


def _split(batch: PairIds, longest: PairIds, max_tokens: int) -> list[PairIds]:
    if len(batch) <= 1 or int(longest[batch].max()) * len(batch) <= max_tokens:
        return [batch] if len(batch) else []
    middle = len(batch) // 2
    return [
        *_split(batch[:middle], longest, max_tokens),
        *_split(batch[middle:], longest, max_tokens),
    ]

"""A batch: the token ids of some pairs, packed, time-major, without padding.

Step 0 of every sentence comes first, then step 1 of those that have one, and so on,
sentences longest first. This is the layout of torch's PackedSequence: a step is a
slice, and nothing is computed for a sentence that has ended.

Shapes: B sentences, N tokens, U distinct token ids.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipelines.artifacts.vocab import EOS
from pipelines.data.dataset import PairIds, ParallelDataset, Ragged

Ids = Sequence[int] | NDArray[np.int32]
"""Token ids of a sentence."""
UniqueIds = NDArray[np.int32]
"""Distinct token ids, ascending."""


@dataclass(frozen=True, slots=True)
class PackedSequences:
    """One side of a batch; all tensors int64."""

    unique_U: Tensor
    """The distinct token ids, ascending. In a batch that several processes share, those
    of the global batch, whether or not they occur in the local one."""
    inverse_N: Tensor
    """Index into `unique_U` of each token: token n is `unique_U[inverse_N[n]]`."""
    batch_sizes: tuple[int, ...]
    """Sentences that have a token at each step; the first is B, their sum is N."""
    unsorted_indices_B: Tensor | None
    """Row of each sentence within a step; None where rows are in the sentences' order.
    Indexing a result with it restores that order."""

    @property
    def tokens_N(self) -> Tensor:
        """The token ids."""
        return self.unique_U[self.inverse_N]

    def to(self, device: torch.device) -> "PackedSequences":
        """Copy to a device, without waiting for the copy."""
        return self.map(lambda tensor: to_device(tensor, device))

    def map(self, move: Callable[[Tensor], Tensor]) -> "PackedSequences":
        """Apply `move` to every tensor."""
        unsorted = self.unsorted_indices_B
        return replace(
            self,
            unique_U=move(self.unique_U),
            inverse_N=move(self.inverse_N),
            unsorted_indices_B=None if unsorted is None else move(unsorted),
        )


@dataclass(frozen=True, slots=True)
class Batch:
    """Pairs ready for the model, the longest target first."""

    src: PackedSequences
    tgt_in: PackedSequences
    """EOS, then the target without its last token: the decoder's input."""
    tgt_out_N: Tensor
    """int64 [N], the token to predict from each input."""
    pair_ids: PairIds
    """int64 [B], the pairs' indices in their dataset."""

    @property
    def num_sentences(self) -> int:
        """Pairs in the batch."""
        return len(self.pair_ids)

    @property
    def num_tgt_tokens(self) -> int:
        """Target tokens, EOS included."""
        return len(self.tgt_out_N)

    @property
    def num_words(self) -> int:
        """Source and target tokens together, EOS included: the unit of speed."""
        return len(self.src.inverse_N) + self.num_tgt_tokens

    @property
    def num_padded_tokens(self) -> int:
        """Tokens of source and target if both were padded to their longest sentence."""
        longest = len(self.src.batch_sizes) + len(self.tgt_in.batch_sizes)
        return longest * self.num_sentences

    def pinned(self) -> "Batch":
        """Copy to pinned memory, from which a GPU copies asynchronously."""
        return self._map(Tensor.pin_memory)

    def to(self, device: torch.device) -> "Batch":
        """Copy to a device, without waiting for the copy."""
        return self._map(lambda tensor: to_device(tensor, device))

    def _map(self, move: Callable[[Tensor], Tensor]) -> "Batch":
        return replace(
            self,
            src=self.src.map(move),
            tgt_in=self.tgt_in.map(move),
            tgt_out_N=move(self.tgt_out_N),
        )


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a CPU tensor to a device, without waiting for the copy.

    Copies to a GPU go through pinned memory, as others would block.
    """
    if device.type == "cpu":
        return tensor
    if not tensor.is_pinned():
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def collate(dataset: ParallelDataset, pair_ids: PairIds) -> Batch:
    """Make the batch of some pairs of a dataset."""
    return _collate(dataset, pair_ids)


def collate_local(
    dataset: ParallelDataset, pair_ids: PairIds, *, global_ids: PairIds
) -> Batch:
    """Make the local batch of one process from a batch that several processes share.

    Its `unique_U` are those of the global batch. So the embeddings' gradients have the
    same rows in all processes, and their values can be all-reduced.

    Args:
        dataset: The pairs.
        pair_ids: Pairs of this process.
        global_ids: Pairs of all processes.
    """
    src, tgt = dataset.read_pairs(global_ids)
    # The decoder reads the target's own tokens: EOS moves from the end to the start.
    return _collate(dataset, pair_ids, (np.unique(src.tokens), np.unique(tgt.tokens)))


def _collate(
    dataset: ParallelDataset,
    pair_ids: PairIds,
    unique: tuple[UniqueIds, UniqueIds] | None = None,
) -> Batch:
    longest_first = np.argsort(-dataset.tgt_lengths[pair_ids], kind="stable")
    pair_ids = pair_ids[longest_first]
    src, tgt = dataset.read_pairs(pair_ids)
    return _make_batch(src, tgt, pair_ids, unique)


def make_batch(pairs: Sequence[tuple[Ids, Ids]]) -> Batch:
    """Make a batch of (source ids, target ids), each ending in EOS."""
    pair_ids = np.array(
        sorted(range(len(pairs)), key=lambda n: -len(pairs[n][1])), dtype=np.int64
    )
    src, tgt = (_concatenate([pairs[n][side] for n in pair_ids]) for side in (0, 1))
    return _make_batch(src, tgt, pair_ids)


def pack_sequences(sentences: Sequence[Ids]) -> PackedSequences:
    """Pack sentences of at least one token, in any order of length."""
    ragged = _concatenate(sentences)
    order = np.argsort(-ragged.lengths, kind="stable")
    index, batch_sizes = _time_major(ragged, order)
    return _pack(ragged.tokens[index], batch_sizes, order)


def _make_batch(
    src: Ragged,
    tgt: Ragged,
    pair_ids: PairIds,
    unique: tuple[UniqueIds, UniqueIds] | None = None,
) -> Batch:
    """Make a batch of pairs whose targets are sorted, the longest first."""
    src_unique, tgt_unique = unique or (None, None)
    src_order = np.argsort(-src.lengths, kind="stable")
    src_index, src_batch_sizes = _time_major(src, src_order)
    tgt_order = np.arange(len(pair_ids))
    tgt_index, tgt_batch_sizes = _time_major(tgt, tgt_order)
    tgt_out = tgt.tokens[tgt_index]
    tgt_in = tgt.tokens[tgt_index - 1]
    tgt_in[: len(pair_ids)] = EOS
    return Batch(
        src=_pack(src.tokens[src_index], src_batch_sizes, src_order, src_unique),
        tgt_in=_pack(tgt_in, tgt_batch_sizes, tgt_order, tgt_unique),
        tgt_out_N=torch.from_numpy(tgt_out.astype(np.int64)),
        pair_ids=pair_ids,
    )


def _concatenate(sentences: Sequence[Ids]) -> Ragged:
    arrays = [np.asarray(ids, dtype=np.int32) for ids in sentences]
    lengths = np.array([len(ids) for ids in arrays], dtype=np.int64)
    return Ragged(np.concatenate(arrays), lengths)


def _time_major(
    ragged: Ragged, order: NDArray[np.int64]
) -> tuple[NDArray[np.int64], tuple[int, ...]]:
    """Index of the tokens in time-major order, and the number of sentences per step.

    `order` sorts the sentences, the longest first.
    """
    lengths = ragged.lengths[order]
    starts = (np.cumsum(ragged.lengths) - ragged.lengths)[order]
    steps = np.arange(lengths[0])[:, None]
    has_token = steps < lengths
    return (starts + steps)[has_token], tuple(has_token.sum(axis=1).tolist())


def _pack(
    tokens: NDArray[np.int32],
    batch_sizes: tuple[int, ...],
    order: NDArray[np.int64],
    unique: UniqueIds | None = None,
) -> PackedSequences:
    """Pack tokens that are in time-major order already."""
    if unique is None:
        unique, inverse = np.unique(tokens, return_inverse=True)
    else:
        inverse = np.searchsorted(unique, tokens)
    unsorted = np.argsort(order)
    is_sorted = bool((unsorted[1:] > unsorted[:-1]).all())
    return PackedSequences(
        unique_U=torch.from_numpy(unique.astype(np.int64)),
        inverse_N=torch.from_numpy(inverse.astype(np.int64, copy=False)),
        batch_sizes=batch_sizes,
        unsorted_indices_B=None if is_sorted else torch.from_numpy(unsorted),
    )

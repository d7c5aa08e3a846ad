"""A batch: the ids of some pairs, laid step by step, without padding.

Step 0 of every sentence comes first, then step 1 of those that have one, and so on;
sentences stand longest first. This is the layout of torch's PackedSequence: a step is a
slice, and nothing is computed for a sentence that has ended.

Shapes: B sentences, N tokens, U different token ids.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipelines.artifacts.vocab import EOS
from pipelines.data.dataset import ParallelDataset, Ragged

Ids = Sequence[int] | NDArray[np.int32]
PairIds = NDArray[np.int64]
Types = tuple[NDArray[np.int32], NDArray[np.int32]]
"""Token ids of source and target, ascending, each once."""


@dataclass(frozen=True, slots=True)
class Sequences:
    """One side of a batch; all tensors int64."""

    types_U: Tensor
    """Each token id that occurs, once, ascending; in a batch that several processes
    share, each that occurs in any process's part."""
    places_N: Tensor
    """Token n is `types_U[places_N[n]]`."""
    sizes: tuple[int, ...]
    """Sentences that run at each step; the first is B, their sum is N."""
    lane_B: Tensor | None
    """Where each sentence stands in a step; None where they stand in order."""

    @property
    def tokens_N(self) -> Tensor:
        """The token ids."""
        return self.types_U[self.places_N]

    def to(self, device: torch.device) -> "Sequences":
        """Copy to a device, without waiting for the copy."""
        return self.map(lambda tensor: to_device(tensor, device))

    def map(self, move: Callable[[Tensor], Tensor]) -> "Sequences":
        """The same with every tensor moved."""
        return replace(
            self,
            types_U=move(self.types_U),
            places_N=move(self.places_N),
            lane_B=None if self.lane_B is None else move(self.lane_B),
        )


@dataclass(frozen=True, slots=True)
class Batch:
    """Pairs ready for the model, the longest target first."""

    src: Sequences
    tgt_in: Sequences
    """EOS, then the target but its last token: the decoder's input."""
    tgt_out_N: Tensor
    """int64 [N], what the decoder is to say at each of its inputs."""
    numbers: PairIds
    """int64 [B], the pairs' numbers in their dataset."""

    @property
    def num_sentences(self) -> int:
        """Pairs in the batch."""
        return len(self.numbers)

    @property
    def num_tgt_tokens(self) -> int:
        """Target tokens, EOS included."""
        return len(self.tgt_out_N)

    @property
    def num_words(self) -> int:
        """Source and target words together, EOS included: the unit of speed."""
        return len(self.src.places_N) + self.num_tgt_tokens

    @property
    def num_padded_tokens(self) -> int:
        """Places of the two rectangles that padding would have filled up."""
        longest = len(self.src.sizes) + len(self.tgt_in.sizes)
        return longest * self.num_sentences

    def pinned(self) -> "Batch":
        """The same in memory from which a GPU copies by itself."""
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

    A GPU copies by itself from pinned memory only.
    """
    if device.type == "cpu":
        return tensor
    if not tensor.is_pinned():
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def collate(dataset: ParallelDataset, numbers: PairIds) -> Batch:
    """Make the batch of some pairs of a dataset."""
    return _collate(dataset, numbers)


def collate_part(
    dataset: ParallelDataset, numbers: PairIds, *, among: PairIds
) -> Batch:
    """Make one process's part of a batch that several processes share.

    Its `types_U` are those of the whole batch, so that the embedding gradients of all
    processes have the same rows and are summed without asking which words they hold.

    Args:
        dataset: The pairs.
        numbers: The pairs of this process.
        among: The pairs of all processes.
    """
    src, tgt = dataset.take(among)
    # A target's tokens are those that the decoder reads: EOS is first or last.
    return _collate(dataset, numbers, (np.unique(src.tokens), np.unique(tgt.tokens)))


def _collate(
    dataset: ParallelDataset, numbers: PairIds, types: Types | None = None
) -> Batch:
    order = np.argsort(-dataset.tgt_lengths[numbers], kind="stable")
    numbers = numbers[order]
    src, tgt = dataset.take(numbers)
    return _make(src, tgt, numbers, types)


def make_batch(pairs: Sequence[tuple[Ids, Ids]]) -> Batch:
    """Make a batch of (source ids, target ids), each ending in EOS."""
    numbers = np.array(
        sorted(range(len(pairs)), key=lambda n: -len(pairs[n][1])), dtype=np.int64
    )
    return _make(
        _ragged([pairs[n][0] for n in numbers]),
        _ragged([pairs[n][1] for n in numbers]),
        numbers,
    )


def lay_out(sentences: Sequence[Ids]) -> Sequences:
    """Lay sentences of at least one token step by step, in any order of length."""
    ragged = _ragged(sentences)
    lanes = np.argsort(-ragged.lengths, kind="stable")
    index, sizes = _step_by_step(ragged, lanes)
    return _sequences(ragged.tokens[index], sizes, lanes)


def _make(
    src: Ragged, tgt: Ragged, numbers: PairIds, types: Types | None = None
) -> Batch:
    src_types, tgt_types = types or (None, None)
    lanes = np.argsort(-src.lengths, kind="stable")
    src_index, src_sizes = _step_by_step(src, lanes)
    in_order = np.arange(len(numbers))
    index, sizes = _step_by_step(tgt, in_order)
    tgt_out = tgt.tokens[index]
    tgt_in = tgt.tokens[index - 1]
    tgt_in[: len(numbers)] = EOS
    return Batch(
        src=_sequences(src.tokens[src_index], src_sizes, lanes, src_types),
        tgt_in=_sequences(tgt_in, sizes, in_order, tgt_types),
        tgt_out_N=torch.from_numpy(tgt_out.astype(np.int64)),
        numbers=numbers,
    )


def _ragged(sentences: Sequence[Ids]) -> Ragged:
    arrays = [np.asarray(ids, dtype=np.int32) for ids in sentences]
    lengths = np.array([len(ids) for ids in arrays], dtype=np.int64)
    return Ragged(np.concatenate(arrays), lengths)


def _step_by_step(ragged: Ragged, lanes: PairIds) -> tuple[PairIds, tuple[int, ...]]:
    """Places of the tokens, step by step, and the number of sentences in each step.

    `lanes` orders the sentences longest first.
    """
    lengths = ragged.lengths[lanes]
    starts = (np.cumsum(ragged.lengths) - ragged.lengths)[lanes]
    steps = np.arange(lengths[0])[:, None]
    runs = steps < lengths
    return (starts + steps)[runs], tuple(runs.sum(axis=1).tolist())


def _sequences(
    tokens: NDArray[np.int32],
    sizes: tuple[int, ...],
    lanes: PairIds,
    types: NDArray[np.int32] | None = None,
) -> Sequences:
    if types is None:
        types, places = np.unique(tokens, return_inverse=True)
    else:
        places = np.searchsorted(types, tokens)
    lane = np.argsort(lanes)
    in_order = bool((lane[1:] > lane[:-1]).all())
    return Sequences(
        types_U=torch.from_numpy(types.astype(np.int64)),
        places_N=torch.from_numpy(places.astype(np.int64, copy=False)),
        sizes=sizes,
        lane_B=None if in_order else torch.from_numpy(lane),
    )

"""A batch: the ids of some pairs as padded tensors, time first.

Shapes: B batch, S source length, T target length, N target tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipelines.artifacts.vocab import EOS, PAD
from pipelines.data.batching import Indices
from pipelines.data.dataset import ParallelDataset

Ids = Sequence[int] | NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Batch:
    """Pairs ready for the model; all tensors int64."""

    src_SB: Tensor
    src_lengths_B: Tensor
    """On the CPU: packing needs it there."""
    tgt_in_TB: Tensor
    """EOS, then the target but its last token (the decoder's input)."""
    tgt_out_N: Tensor
    """All target tokens with their EOS, without padding, step by step."""
    tgt_rows_N: Tensor
    """Where these stand in [T, B] laid flat."""

    @property
    def num_sentences(self) -> int:
        """Pairs in the batch."""
        return self.src_SB.shape[1]

    @property
    def num_tgt_tokens(self) -> int:
        """Target tokens, EOS included."""
        return len(self.tgt_out_N)

    @property
    def num_words(self) -> int:
        """Source and target words together, EOS not counted: the paper's unit."""
        num_tokens = int(self.src_lengths_B.sum()) + self.num_tgt_tokens
        return num_tokens - 2 * self.num_sentences

    def to(self, device: torch.device) -> "Batch":
        """Copy to a device, without waiting for the copy."""
        if device.type == "cpu":
            return self

        def copy(tensor: Tensor) -> Tensor:
            return tensor.pin_memory().to(device, non_blocking=True)

        return Batch(
            copy(self.src_SB),
            self.src_lengths_B,
            copy(self.tgt_in_TB),
            copy(self.tgt_out_N),
            copy(self.tgt_rows_N),
        )


def pad(sentences: Sequence[Ids]) -> Tensor:
    """Sentences side by side, PAD below the shorter ones: int64 [longest, B]."""
    longest = max(len(sentence) for sentence in sentences)
    padded = np.full((longest, len(sentences)), PAD, dtype=np.int64)
    for column, sentence in enumerate(sentences):
        padded[: len(sentence), column] = sentence
    return torch.from_numpy(padded)


def make_batch(pairs: Sequence[tuple[Ids, Ids]]) -> Batch:
    """Make a batch of (source ids, target ids), each ending in EOS."""
    tgt_TB = pad([tgt for _, tgt in pairs])
    tgt_in_TB = torch.full_like(tgt_TB, EOS)
    tgt_in_TB[1:] = tgt_TB[:-1]
    # Found here, on the CPU: on a GPU it would make every step wait.
    rows_N = (tgt_TB.flatten() != PAD).nonzero().flatten()
    return Batch(
        src_SB=pad([src for src, _ in pairs]),
        src_lengths_B=torch.tensor([len(src) for src, _ in pairs]),
        tgt_in_TB=tgt_in_TB,
        tgt_out_N=tgt_TB.flatten()[rows_N],
        tgt_rows_N=rows_N,
    )


def collate(dataset: ParallelDataset, indices: Indices) -> Batch:
    """Make the batch of some pairs of a dataset."""
    return make_batch([dataset.pair(int(index)) for index in indices])

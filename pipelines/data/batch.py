"""A batch: the ids of some pairs as padded tensors, time first.

Shapes: B batch, S source length, T target length.
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


@dataclass(frozen=True, slots=True)
class Batch:
    """Pairs ready for the model; all tensors int64."""

    src_SB: Tensor
    src_lengths_B: Tensor
    """On the CPU: packing needs it there."""
    tgt_in_TB: Tensor
    """EOS, then the target but its last token (the decoder's input)."""
    tgt_out_TB: Tensor
    """The target with its EOS; PAD where a sentence has ended."""
    num_src_tokens: int
    num_tgt_tokens: int

    @property
    def num_sentences(self) -> int:
        """Pairs in the batch."""
        return self.src_SB.shape[1]

    @property
    def num_words(self) -> int:
        """Source and target words together, EOS not counted: the paper's unit."""
        return self.num_src_tokens + self.num_tgt_tokens - 2 * self.num_sentences

    def to(self, device: torch.device) -> "Batch":
        """Copy to a device, without waiting for the copy."""
        if device.type == "cpu":
            return self
        src, tgt_in, tgt_out = (
            tensor.pin_memory().to(device, non_blocking=True)
            for tensor in (self.src_SB, self.tgt_in_TB, self.tgt_out_TB)
        )
        return Batch(
            src,
            self.src_lengths_B,
            tgt_in,
            tgt_out,
            self.num_src_tokens,
            self.num_tgt_tokens,
        )


def pad(sentences: Sequence[Sequence[int] | NDArray[np.int32]]) -> Tensor:
    """Sentences side by side, PAD below the shorter ones: int64 [longest, B]."""
    longest = max(len(sentence) for sentence in sentences)
    padded = np.full((longest, len(sentences)), PAD, dtype=np.int64)
    for column, sentence in enumerate(sentences):
        padded[: len(sentence), column] = sentence
    return torch.from_numpy(padded)


def collate(dataset: ParallelDataset, indices: Indices) -> Batch:
    """Make the batch of some pairs of a dataset."""
    pairs = [dataset.pair(int(index)) for index in indices]
    tgt_out_TB = pad([tgt for _, tgt in pairs])
    tgt_in_TB = torch.full_like(tgt_out_TB, EOS)
    tgt_in_TB[1:] = tgt_out_TB[:-1]
    lengths = [len(src) for src, _ in pairs]
    return Batch(
        src_SB=pad([src for src, _ in pairs]),
        src_lengths_B=torch.tensor(lengths),
        tgt_in_TB=tgt_in_TB,
        tgt_out_TB=tgt_out_TB,
        num_src_tokens=sum(lengths),
        num_tgt_tokens=sum(len(tgt) for _, tgt in pairs),
    )

"""All shards of a split as one list of pairs; tokens stay on disk until they are read.

Shapes: P pairs of the dataset, B pairs asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.artifacts.shards import Shard, open_shard
from pipelines.errors import CorruptArtifactError, MissingArtifactError

PairIds = NDArray[np.int64]
"""Indices of pairs in a dataset, from 0."""
Lengths = NDArray[np.int64]
"""Tokens of each sentence, EOS included."""

LENGTH_ALLOWANCE = 10
"""Tokens that any output may have beyond `length_ratio` times its source's length."""


@dataclass(frozen=True, slots=True)
class Ragged:
    """Sentences of different lengths, concatenated."""

    tokens: NDArray[np.int32]
    """Token ids of all sentences."""
    lengths: Lengths


class ParallelDataset:
    """The pairs of one split, by index.

    Attributes:
        src_lengths: int64 [P], tokens of each source, EOS included.
        tgt_lengths: int64 [P], tokens of each target, EOS included.
    """

    def __init__(self, shards: Sequence[Shard]) -> None:
        self._shards = list(shards)
        sizes = [len(shard) for shard in self._shards]
        self._starts = np.concatenate(([0], np.cumsum(sizes, dtype=np.int64)))
        none = np.zeros(0, dtype=np.int64)
        self.src_lengths = np.concatenate(
            [none, *(np.diff(shard.src_offsets) for shard in self._shards)]
        )
        self.tgt_lengths = np.concatenate(
            [none, *(np.diff(shard.tgt_offsets) for shard in self._shards)]
        )

    @classmethod
    def open(cls, folder: Path, split: str) -> "ParallelDataset":
        """Map the shards of a split into memory.

        Raises:
            MissingArtifactError: The split has no shards.
            CorruptArtifactError: A shard is damaged.
        """
        paths = sorted(folder.glob(f"{split}.*.safetensors"))
        if not paths:
            raise MissingArtifactError(
                f"{folder} holds no shard of {split}", hint="s2s binarize"
            )
        return cls([open_shard(path) for path in paths])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def pair(self, index: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Token ids of source and target of pair `index`, int32 [tokens] each."""
        shard = int(np.searchsorted(self._starts, index, side="right")) - 1
        return self._shards[shard].pair(index - int(self._starts[shard]))

    def read_pairs(self, pair_ids: PairIds) -> tuple[Ragged, Ragged]:
        """Read sources and targets of at least one pair, in the order of `pair_ids`."""
        shards = np.searchsorted(self._starts, pair_ids, side="right") - 1
        offsets = pair_ids - self._starts[shards]
        pairs = [
            self._shards[shard].pair(offset)
            for shard, offset in zip(shards.tolist(), offsets.tolist(), strict=True)
        ]
        src, tgt = (np.concatenate(side) for side in zip(*pairs, strict=True))
        return (
            Ragged(src, self.src_lengths[pair_ids]),
            Ragged(tgt, self.tgt_lengths[pair_ids]),
        )

    def length_ratio(self) -> float:
        """Target tokens per source token that outputs may need, at least 1.

        `LENGTH_ALLOWANCE` tokens come on top. The ratio is 1.2 times the one that
        99.9 % of the pairs do not exceed.
        """
        needed = (self.tgt_lengths - LENGTH_ALLOWANCE) / self.src_lengths
        return max(1.0, round(1.2 * float(np.quantile(needed, 0.999)), 2))

    def require_vocabularies(self, src_sha256: str, tgt_sha256: str) -> None:
        """Check that the shards were made with these vocabularies.

        Raises:
            CorruptArtifactError: A shard names other vocabularies.
        """
        for shard in self._shards:
            metadata = shard.metadata
            recorded = metadata.get("src_vocab"), metadata.get("tgt_vocab")
            if recorded != (src_sha256, tgt_sha256):
                raise CorruptArtifactError(
                    f"{shard.path} was made with other vocabularies",
                    hint="s2s binarize --force",
                )

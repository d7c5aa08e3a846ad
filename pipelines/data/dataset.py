"""All shards of a split as one list of pairs; tokens stay on disk until touched."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.artifacts.shards import Shard, open_shard
from pipelines.errors import CorruptArtifactError, MissingArtifactError


@dataclass(frozen=True, slots=True)
class Ragged:
    """Sentences of different lengths, one after the other."""

    tokens: NDArray[np.int32]
    """All token ids."""
    lengths: NDArray[np.int64]
    """Tokens of each sentence."""


ROOM = 10
"""Tokens that any output may have beyond its share of the source's length."""


class ParallelDataset:
    """The pairs of one split, by number.

    Attributes:
        src_lengths: int64 [pairs], tokens of each source, EOS included.
        tgt_lengths: int64 [pairs], tokens of each target, EOS included.
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
        """Map the shards of a split.

        Raises:
            MissingArtifactError: There is none.
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
        """Ids of source and target of pair `index`, int32 [tokens] each."""
        shard = int(np.searchsorted(self._starts, index, side="right")) - 1
        return self._shards[shard].pair(index - int(self._starts[shard]))

    def take(self, numbers: NDArray[np.int64]) -> tuple[Ragged, Ragged]:
        """Sources and targets of some pairs (at least one), as `numbers` has them."""
        shards = np.searchsorted(self._starts, numbers, side="right") - 1
        inside = numbers - self._starts[shards]
        pairs = [
            self._shards[shard].pair(index)
            for shard, index in zip(shards.tolist(), inside.tolist(), strict=True)
        ]
        return (
            Ragged(
                np.concatenate([src for src, _ in pairs]), self.src_lengths[numbers]
            ),
            Ragged(
                np.concatenate([tgt for _, tgt in pairs]), self.tgt_lengths[numbers]
            ),
        )

    def length_ratio(self) -> float:
        """Target tokens for each source token, `ROOM` apart, that outputs may need.

        A fifth more than 99.9 % of the pairs have; at least 1.
        """
        needed = (self.tgt_lengths - ROOM) / self.src_lengths
        return max(1.0, round(1.2 * float(np.quantile(needed, 0.999)), 2))

    def require_vocabularies(self, src_sha256: str, tgt_sha256: str) -> None:
        """Check that the ids were made with these vocabularies.

        Raises:
            CorruptArtifactError: A shard names others.
        """
        wanted = (src_sha256, tgt_sha256)
        for shard in self._shards:
            metadata = shard.metadata
            found = (metadata.get("src_vocab"), metadata.get("tgt_vocab"))
            if found != wanted:
                raise CorruptArtifactError(
                    f"{shard.path} was made with other vocabularies",
                    hint="s2s binarize --force",
                )

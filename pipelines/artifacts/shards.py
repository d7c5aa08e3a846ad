"""Shards: the token ids of one part, in one memory-mapped safetensors file.

    src_tokens   int32 [source tokens]     all sentences, concatenated
    src_offsets  int64 [pairs + 1]         sentence i is src_tokens[o[i] : o[i + 1]]
    tgt_tokens, tgt_offsets                the same for the target

Not padded; every sentence ends with EOS. The metadata name the SHA-256 of both
vocabularies, the split and the part.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from pipelines.errors import CorruptArtifactError

_DTYPES: Mapping[str, Any] = {"I32": np.int32, "I64": np.int64}
_NAMES = ("src_tokens", "src_offsets", "tgt_tokens", "tgt_offsets")
_HEADER_LENGTH_BYTES = 8


@dataclass(frozen=True, slots=True)
class Shard:
    """An open shard. Its arrays are memory-mapped: pages are read on first access."""

    path: Path
    src_tokens: NDArray[np.int32]
    src_offsets: NDArray[np.int64]
    tgt_tokens: NDArray[np.int32]
    tgt_offsets: NDArray[np.int64]
    metadata: Mapping[str, str]

    def __len__(self) -> int:
        return len(self.src_offsets) - 1

    def pair(self, index: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Source and target ids of pair `index`."""
        s, t = self.src_offsets, self.tgt_offsets
        return (
            self.src_tokens[s[index] : s[index + 1]],
            self.tgt_tokens[t[index] : t[index + 1]],
        )


def write_shard(
    path: Path,
    src: Sequence[Sequence[int]],
    tgt: Sequence[Sequence[int]],
    *,
    metadata: Mapping[str, str],
) -> None:
    """Write the ids of one part.

    Raises:
        ValueError: The sides have different numbers of sentences.
    """
    if len(src) != len(tgt):
        raise ValueError(f"{len(src)} source and {len(tgt)} target sentences")
    arrays: dict[str, NDArray[Any]] = {}
    for side, sentences in (("src", src), ("tgt", tgt)):
        lengths = [len(sentence) for sentence in sentences]
        flat = [token for sentence in sentences for token in sentence]
        arrays[f"{side}_tokens"] = np.array(flat, dtype=np.int32)
        offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
        offsets[1:] = np.cumsum(lengths, dtype=np.int64)
        arrays[f"{side}_offsets"] = offsets
    path.write_bytes(_with_sorted_header(save(arrays, metadata=dict(metadata))))


def _with_sorted_header(data: bytes) -> bytes:
    """Sort the header of a safetensors file, so that equal shards have equal bytes.

    The library writes the metadata in an order that changes from run to run.
    """
    start = _HEADER_LENGTH_BYTES
    end = start + int.from_bytes(data[:start], "little")
    header = json.dumps(
        json.loads(data[start:end]), sort_keys=True, separators=(",", ":")
    ).encode()
    header += b" " * (-len(header) % _HEADER_LENGTH_BYTES)  # keeps tensors aligned
    return len(header).to_bytes(start, "little") + header + data[end:]


def open_shard(path: Path) -> Shard:
    """Map a shard into memory and check its structure, without reading tokens.

    Raises:
        CorruptArtifactError: The file is cut short or is not a shard.
    """
    try:
        header, start = _read_header(path)
        arrays = {name: _mapped(path, header[name], start) for name in _NAMES}
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptArtifactError(
            f"{path} is not a whole shard: {error}", hint="s2s binarize --force"
        ) from error
    shard = Shard(path, metadata=header.get("__metadata__", {}), **arrays)
    _require_consistent(shard)
    return shard


def _read_header(path: Path) -> tuple[dict[str, Any], int]:
    """Read the header and the offset of the tensors, in bytes."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(_HEADER_LENGTH_BYTES), "little")
        if not 2 <= length <= path.stat().st_size:
            raise ValueError(f"header of {length} bytes")
        return json.loads(file.read(length)), _HEADER_LENGTH_BYTES + length


def _mapped(path: Path, entry: Mapping[str, Any], start: int) -> NDArray[Any]:
    first, last = entry["data_offsets"]
    if start + last > path.stat().st_size:
        raise ValueError(
            f"{path.stat().st_size} bytes, expected at least {start + last}"
        )
    dtype, shape = _DTYPES[entry["dtype"]], tuple(entry["shape"])
    if not shape or 0 in shape:
        return np.zeros(shape, dtype=dtype)
    return np.memmap(path, dtype=dtype, mode="r", offset=start + first, shape=shape)


def _require_consistent(shard: Shard) -> None:
    for tokens, offsets in (
        (shard.src_tokens, shard.src_offsets),
        (shard.tgt_tokens, shard.tgt_offsets),
    ):
        if (
            len(offsets) == 0
            or len(offsets) != len(shard.src_offsets)
            or offsets[0] != 0
            or offsets[-1] != len(tokens)
        ):
            raise CorruptArtifactError(
                f"{shard.path}: its offsets do not fit its tokens",
                hint="s2s binarize --force",
            )

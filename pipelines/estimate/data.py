"""What can be known of the training data: from shards, from the text, or not yet."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines import plan
from pipelines.artifacts.corpus import read_lines
from pipelines.artifacts.layout import Layout
from pipelines.artifacts.manifest import read_manifest
from pipelines.artifacts.vocab import SPECIALS
from pipelines.config import Config, PreprocessConfig
from pipelines.data.dataset import ParallelDataset
from pipelines.errors import ArtifactError, CorpusError
from pipelines.estimate.figures import Basis
from pipelines.text.parts import Filter

Lengths = NDArray[np.int64]

PAPER_PAIRS = 12_000_000
PAPER_SOURCE_WORDS, PAPER_TARGET_WORDS = 304_000_000, 348_000_000
"""Sutskever et al. 2014, section 3.1: the clean subset of WMT'14."""

_SAMPLE_PAIRS = 20_000
"""Stands for a text that is not there."""


@dataclass(frozen=True, slots=True)
class ExpectedData:
    """The training pairs as far as they are known."""

    basis: Basis
    reason: str
    src_lengths: Lengths
    """Tokens of each source, EOS included."""
    tgt_lengths: Lengths
    vocab_sizes: tuple[int, int]
    """Entries of source and target; the most there may be while that is open."""
    dataset: ParallelDataset | None = None


def expect_data(
    config: Config, layout: Layout, *, most_bytes: int | None = None
) -> ExpectedData:
    """Look at fresh shards, else read the training text, else take the paper's lengths.

    Args:
        config: The project's settings.
        layout: Its folders; nothing in them is changed.
        most_bytes: Larger files of text are not read; None reads any.

    Raises:
        CorpusError: The text is there and cannot be read.
    """
    layout = replace(layout, read_only=True)
    sizes = config.preprocess.source_vocab_size, config.preprocess.target_vocab_size
    made = _vocabularies_made(config, layout)
    if made is not None and _is_fresh("binarize", config, layout):
        dataset = ParallelDataset.open(layout.binarize, "train")
        lengths = dataset.src_lengths, dataset.tgt_lengths
        return ExpectedData("shards", "", *lengths, made, dataset)
    files = [layout.root / name for name in config.data.train]
    reason = _why_unreadable(files, most_bytes)
    if reason:
        return ExpectedData("nothing", reason, *_paper_lengths(), made or sizes)
    text = _read_text((files[0], files[1]), config.preprocess)
    reason = "pairs by lines, words by blanks"
    return ExpectedData("text", reason, *text.lengths, made or text.vocab_sizes)


def _is_fresh(stage: str, config: Config, layout: Layout) -> bool:
    try:
        return plan.standing(stage, config, layout).state is plan.State.FRESH
    except CorpusError:  # the text is gone, and nothing remembers it
        return False


def _vocabularies_made(config: Config, layout: Layout) -> tuple[int, int] | None:
    if not _is_fresh("preprocess", config, layout):
        return None
    try:
        counts = read_manifest(layout.preprocess).counts
        return int(counts["source_vocab_size"]), int(counts["target_vocab_size"])
    except (ArtifactError, KeyError):
        return None


def _why_unreadable(files: list[Path], most_bytes: int | None) -> str:
    if not files:
        return "data.train is not set"
    for file in files:
        if not file.is_file():
            return f"{file} is not there"
        if most_bytes is not None and file.stat().st_size > most_bytes:
            return f"{file} is long; s2s train --dry-run counts it"
    return ""


def _paper_lengths() -> tuple[Lengths, Lengths]:
    """Lengths about the paper's mean: 25 words of source, 29 of target, and EOS."""
    generator = np.random.default_rng(1)

    def draw(num_words: int) -> Lengths:
        mean = num_words / PAPER_PAIRS
        return generator.poisson(mean, _SAMPLE_PAIRS).clip(1).astype(np.int64) + 1

    return draw(PAPER_SOURCE_WORDS), draw(PAPER_TARGET_WORDS)


@dataclass(frozen=True, slots=True)
class _Text:
    lengths: tuple[Lengths, Lengths]
    vocab_sizes: tuple[int, int]


def _read_text(files: tuple[Path, Path], settings: PreprocessConfig) -> _Text:
    """Count a parallel text; words are what stands between blanks."""
    most = settings.source_vocab_size, settings.target_vocab_size
    sides = [
        _Side(file, settings, size) for file, size in zip(files, most, strict=True)
    ]
    src, tgt = (np.fromiter(side.lengths(), dtype=np.int64) for side in sides)
    num_pairs = min(len(src), len(tgt))
    src, tgt = src[:num_pairs], tgt[:num_pairs]
    kept = _kept(src, tgt, Filter.from_config(settings))
    if not kept.any():
        raise CorpusError(f"no training pair is left of {files[0]} and {files[1]}")
    sizes = sides[0].vocab_size, sides[1].vocab_size
    return _Text((src[kept] + 1, tgt[kept] + 1), sizes)


def _kept(src: Lengths, tgt: Lengths, keep: Filter) -> NDArray[np.bool_]:
    """What `Filter.reason_to_drop` leaves, for all pairs at once."""
    shorter, longer = np.minimum(src, tgt), np.maximum(src, tgt)
    kept = shorter > 0
    if keep.max_length:
        kept &= longer <= keep.max_length
    if keep.max_ratio:
        kept &= longer <= keep.max_ratio * shorter
    return kept


class _Side:
    """One file of text: lengths of its lines, and different words up to a number."""

    def __init__(self, file: Path, settings: PreprocessConfig, size: int) -> None:
        self._file, self._settings, self._size = file, settings, size
        self._types: set[bytes | int] = set()

    @property
    def vocab_size(self) -> int:
        """Entries at most, special symbols included."""
        size = self._size
        if self._settings.tokenizer == "sentencepiece":
            return min(size, self._settings.sentencepiece_vocab_size + len(SPECIALS))
        return min(size, len(self._types) + len(SPECIALS))

    def lengths(self) -> Iterator[int]:
        """Tokens of each line, without EOS."""
        lower = self._settings.lowercase
        characters = self._settings.tokenizer == "characters"
        types, size = self._types, self._size
        for line in read_lines(self._file):
            words = line.split()
            if characters:
                text = line.decode(errors="replace").strip()
                types.update(map(ord, text.lower() if lower else text))
                yield len(text)
                continue
            if len(types) < size:
                types.update(line.lower().split() if lower else words)
            yield len(words)

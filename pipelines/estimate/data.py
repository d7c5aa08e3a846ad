"""The lengths of the training pairs: from shards, from the text, or the paper's."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np

from pipelines.artifacts.corpus import named_in_settings, read_lines
from pipelines.artifacts.layout import Layout
from pipelines.artifacts.manifest import read_manifest
from pipelines.artifacts.vocab import SPECIALS
from pipelines.config import Config, PreprocessConfig
from pipelines.config.preprocess import TokenizerName
from pipelines.data.batch import collate, make_batch
from pipelines.data.dataset import Lengths, PairIds, ParallelDataset
from pipelines.data.loader import LoadedBatch
from pipelines.errors import ArtifactError, CorpusError
from pipelines.project.status import StageState, stage_status
from pipelines.text.own_files import OwnFiles
from pipelines.text.tokenize_part import LengthFilter

Basis = Literal["shards", "text", "nothing"]
"""Source of the lengths: shards (exact), text (counted), or nothing (the paper's)."""
Corpora = Sequence[tuple[Path, Path]]
"""Source and target files."""

PAPER_PAIRS = 12_000_000
PAPER_SOURCE_WORDS, PAPER_TARGET_WORDS = 304_000_000, 348_000_000
"""Sutskever et al. 2014, section 3.1: the clean subset of WMT'14."""

_SAMPLE_PAIRS = 20_000
"""Pairs that represent a text that does not exist yet."""


@dataclass(frozen=True, slots=True)
class TrainingData:
    """The training pairs as far as they are known."""

    basis: Basis
    reason: str
    """Why the data are not known exactly; empty if they are."""
    src_lengths: Lengths
    """Tokens of each source, EOS included."""
    tgt_lengths: Lengths
    vocab_sizes: tuple[int, int]
    """Entries of source and target; upper limits before preprocessing."""
    dataset: ParallelDataset | None = None

    def load_batch(self, pair_ids: PairIds) -> LoadedBatch:
        """Build the batch of some pairs; random words where only lengths are known."""
        if self.dataset is not None:
            batch = collate(self.dataset, pair_ids)
        else:
            sides = self.src_lengths[pair_ids], self.tgt_lengths[pair_ids]
            generator = np.random.default_rng(int(pair_ids[0]))
            first = len(SPECIALS)
            src, tgt = (
                [generator.integers(first, max(size, first + 1), n) for n in lengths]
                for size, lengths in zip(self.vocab_sizes, sides, strict=True)
            )
            batch = make_batch(list(zip(src, tgt, strict=True)))
        return LoadedBatch(
            batch=batch,
            weight=1.0,
            pair_ids=pair_ids,
            num_tgt_tokens=batch.num_tgt_tokens,
            num_words=batch.num_words,
            ends_epoch=False,
        )


def read_training_data(
    config: Config, layout: Layout, *, most_bytes: int | None = None
) -> TrainingData:
    """Read fresh shards, else the training text, else draw the paper's lengths.

    Args:
        config: The project's settings.
        layout: Its folders; nothing in them is changed.
        most_bytes: Larger files of text are not read; None reads any.

    Raises:
        CorpusError: The text exists and cannot be read.
    """
    layout = replace(layout, read_only=True)
    settings = config.preprocess
    sizes = settings.source_vocab_size, settings.target_vocab_size
    if settings.share_vocab:
        sizes = sizes[0], sizes[0]
    exact_sizes = _preprocessed_vocab_sizes(config, layout)
    if exact_sizes is not None and _is_fresh("binarize", config, layout):
        dataset = ParallelDataset.open(layout.binarize, "train")
        lengths = dataset.src_lengths, dataset.tgt_lengths
        return TrainingData("shards", "", *lengths, exact_sizes, dataset)
    corpora = [
        (layout.root / src, layout.root / tgt)
        for src, tgt in config.data.splits().get("train", ())
    ]
    reason = _why_unreadable(corpora, most_bytes)
    if reason:
        return TrainingData("nothing", reason, *_paper_lengths(), exact_sizes or sizes)
    own = OwnFiles.read(settings, layout.root)
    with named_in_settings():
        lengths, text_sizes = _read_text(corpora, settings, own.tokens)
    reason = "pairs by lines, words by spaces"
    return TrainingData("text", reason, *lengths, exact_sizes or text_sizes)


def _is_fresh(stage: str, config: Config, layout: Layout) -> bool:
    try:
        return stage_status(stage, config, layout).state is StageState.FRESH
    except CorpusError:  # the text is gone, and its hash was never stored
        return False


def _preprocessed_vocab_sizes(config: Config, layout: Layout) -> tuple[int, int] | None:
    if not _is_fresh("preprocess", config, layout):
        return None
    try:
        counts = read_manifest(layout.preprocess).counts
        return int(counts["source_vocab_size"]), int(counts["target_vocab_size"])
    except (ArtifactError, KeyError):
        return None


def _why_unreadable(corpora: Corpora, most_bytes: int | None) -> str:
    if not corpora:
        return "data.train is not set"
    for file in chain.from_iterable(corpora):
        if not file.is_file():
            return f"{file} is not there"
        if most_bytes is not None and file.stat().st_size > most_bytes:
            return f"{file} is long; s2s train --dry-run counts it"
    return ""


def _paper_lengths() -> tuple[Lengths, Lengths]:
    """Draw lengths with the paper's means, 25 and 29 words, and EOS."""
    generator = np.random.default_rng(1)

    def draw(num_words: int) -> Lengths:
        mean = num_words / PAPER_PAIRS
        return generator.poisson(mean, _SAMPLE_PAIRS).clip(1).astype(np.int64) + 1

    return draw(PAPER_SOURCE_WORDS), draw(PAPER_TARGET_WORDS)


def _read_text(
    corpora: Corpora,
    settings: PreprocessConfig,
    own: Mapping[str, tuple[str, ...]],
) -> tuple[tuple[Lengths, Lengths], tuple[int, int]]:
    """Count lengths of the pairs that preprocessing would keep, and vocabularies."""
    sizes = settings.source_vocab_size, settings.target_vocab_size
    src, tgt = map(_TextCounter, [settings] * 2, settings.tokenizers, sizes)
    keep = LengthFilter.from_config(settings)
    kept = (
        (num_src + 1, num_tgt + 1)
        for files in corpora
        for num_src, num_tgt in zip(
            src.lengths(files[0]), tgt.lengths(files[1]), strict=False
        )
        if not keep.reason_to_drop(num_src, num_tgt)
    )
    pairs = np.fromiter(chain.from_iterable(kept), dtype=np.int64).reshape(-1, 2)
    if not len(pairs):
        names = "; ".join(f"{src} and {tgt}" for src, tgt in corpora)
        raise CorpusError(f"no training pair is left of {names}")
    num_src, num_tgt = src.vocab_size, tgt.vocab_size
    if settings.share_vocab:
        num_src = num_tgt = src.vocab_size_with(tgt)
    num_own = {name: len(SPECIALS) + len(tokens) for name, tokens in own.items()}
    num_src = num_own.get("source_vocab", num_src)
    shared = num_src if settings.share_vocab else num_tgt
    return (pairs[:, 0], pairs[:, 1]), (num_src, num_own.get("target_vocab", shared))


class _TextCounter:
    """Counts the tokens of each line of one side, and different words up to a limit."""

    def __init__(
        self, settings: PreprocessConfig, tokenizer: TokenizerName, size: int
    ) -> None:
        self._settings, self._tokenizer, self._size = settings, tokenizer, size
        self._types: set[bytes | str] = set()

    @property
    def vocab_size(self) -> int:
        """Upper limit of the entries, special symbols included."""
        return self._limit(self._words, self._num_pieces)

    def vocab_size_with(self, other: "_TextCounter") -> int:
        """Upper limit of the entries of a vocabulary for both sides."""
        num_pieces = self._num_pieces
        if not self._settings.sentencepiece_joint:
            num_pieces += other._num_pieces
        return self._limit(self._words | other._words, num_pieces)

    @property
    def _words(self) -> set[bytes | str]:
        """Different words or characters; none with SentencePiece."""
        return set() if self._num_pieces else self._types

    @property
    def _num_pieces(self) -> int:
        """Pieces of a SentencePiece model; 0 with another tokenizer."""
        is_used = self._tokenizer == "sentencepiece"
        return self._settings.sentencepiece_vocab_size if is_used else 0

    def _limit(self, words: set[bytes | str], num_pieces: int) -> int:
        return min(self._size, num_pieces + len(words) + len(SPECIALS))

    def lengths(self, file: Path) -> Iterator[int]:
        """Count the tokens of each line of a file, without EOS."""
        characters = self._tokenizer == "characters"
        for line in read_lines(file):
            text = line.lower() if self._settings.lowercase else line
            tokens: str | list[bytes] = text.split()
            if characters:
                tokens = text.decode(errors="replace").strip()
            if len(self._types) < self._size:
                self._types.update(tokens)
            yield len(tokens)

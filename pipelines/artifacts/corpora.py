"""The corpora of a split: pairs of the user's files, surveyed and cut into parts.

Part numbers run through the split, in the order of its corpora; a part never holds
pairs of two corpora. Line numbers start at 1 in each file.
"""

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from pipelines.artifacts.corpus import (
    Survey,
    decoded_lines,
    named_in_settings,
    read_lines,
    require_unchanged,
    survey_pair,
)


@dataclass(frozen=True, slots=True)
class Corpus:
    """A source and a target file, with their surveys."""

    names: tuple[str, str]
    """Names in `[data]`."""
    files: tuple[Path, Path]
    surveys: tuple[Survey, Survey]

    def __str__(self) -> str:
        """Both files, for messages."""
        return f"{self.files[0]} and {self.files[1]}"

    @property
    def num_pairs(self) -> int:
        """Number of lines of each file."""
        return self.surveys[0].num_lines

    def num_parts(self, part_size: int) -> int:
        """Number of parts that hold all pairs."""
        return -(-self.num_pairs // part_size)


@dataclass(frozen=True, slots=True)
class RawPart:
    """Consecutive line pairs of a corpus, not decoded yet."""

    index: int
    first_line: int
    """Line number, from 1, of the first pair."""
    src: list[bytes]
    tgt: list[bytes]


def survey_corpora(root: Path, names: Sequence[tuple[str, str]]) -> tuple[Corpus, ...]:
    """Survey the files that `[data]` names for a split.

    Args:
        root: The project's folder.
        names: Source and target file of each corpus.

    Raises:
        CorpusError: A file is missing, damaged, empty or not UTF-8, or the two files of
            a corpus have different numbers of lines.
    """
    corpora: list[Corpus] = []
    with named_in_settings():
        for pair in names:
            files = root / pair[0], root / pair[1]
            corpora.append(Corpus(pair, files, survey_pair(*files)))
    return tuple(corpora)


def lines_of(root: Path, names: Iterable[str]) -> Iterator[bytes]:
    """Yield the lines of files that `[data]` names, one file after the other.

    Raises:
        CorpusError: A file cannot be read.
    """
    with named_in_settings():
        for name in names:
            yield from read_lines(root / name)


def decoded_lines_of(root: Path, names: Iterable[str]) -> Iterator[str]:
    """Yield the decoded lines of files that `[data]` names, one file after the other.

    Raises:
        CorpusError: A file cannot be read, or a line is not UTF-8.
    """
    with named_in_settings():
        for name in names:
            yield from decoded_lines(root / name)


def read_corpora(
    corpora: Sequence[Corpus], *, part_size: int
) -> Iterator[tuple[Corpus, RawPart]]:
    """Yield the parts of a split, each with its corpus.

    Raises:
        CorpusError: A file changed since its survey; raised before its last part.
    """
    for corpus, first in _with_first_part(corpora, part_size):
        digests = hashlib.sha256(), hashlib.sha256()
        src_lines, tgt_lines = map(read_lines, corpus.files, digests)
        for index in range(corpus.num_parts(part_size)):
            start = index * part_size
            src = list(islice(src_lines, part_size))
            tgt = list(islice(tgt_lines, part_size))
            expected = min(part_size, corpus.num_pairs - start)
            is_last = start + expected == corpus.num_pairs
            if is_last or not len(src) == len(tgt) == expected:
                for lines in (src_lines, tgt_lines):
                    deque(lines, maxlen=0)  # reads to the end: the digest is complete
                _require_surveyed(corpus, [digest.hexdigest() for digest in digests])
            yield corpus, RawPart(first + index, start + 1, src, tgt)


def _require_surveyed(corpus: Corpus, hashes: Iterable[str]) -> None:
    for file, survey, sha256 in zip(corpus.files, corpus.surveys, hashes, strict=True):
        require_unchanged(file, survey.sha256, sha256)


def describe_corpora(
    corpora: Sequence[Corpus], *, part_size: int
) -> list[dict[str, Any]]:
    """Describe for the manifest which parts hold which files."""
    return [
        {
            "files": list(corpus.names),
            "first_part": first,
            "parts": corpus.num_parts(part_size),
            "read": corpus.num_pairs,
        }
        for corpus, first in _with_first_part(corpora, part_size)
    ]


def _with_first_part(
    corpora: Sequence[Corpus], part_size: int
) -> Iterator[tuple[Corpus, int]]:
    """Yield each corpus with the index of its first part."""
    first = 0
    for corpus in corpora:
        yield corpus, first
        first += corpus.num_parts(part_size)

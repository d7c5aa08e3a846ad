"""Lines of text: the user's files in, part files out.

A line ends at the byte 0x0A and nowhere else. Owns the reading of plain, gzip and
Zstandard files and the survey that finds what is wrong before any work starts. Does not
know tokens.
"""

import gzip
import hashlib
import io
import logging
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import BinaryIO, cast

import zstandard

from pipelines.artifacts.stream import strip_lines
from pipelines.artifacts.zstd import ZstdFile
from pipelines.errors import CorpusError, CorruptArtifactError, MissingArtifactError
from pipelines.wording import plural

_AGAIN = "s2s preprocess --force"
_CHECK_PATH = "check the path"
_CHECK_DATA = "check [data] in s2s.toml"
_NAMED_LINES = 3


@dataclass(frozen=True, slots=True)
class Survey:
    """What one pass over a text file found."""

    num_lines: int
    sha256: str
    """Of the file as it lies on disk."""


@dataclass(frozen=True, slots=True)
class RawPart:
    """A run of raw line pairs, in order."""

    index: int
    first_line: int
    """Line number, from 1, of the first pair."""
    src: list[bytes]
    tgt: list[bytes]


@contextmanager
def open_text(path: Path) -> Iterator[BinaryIO]:
    """Open a plain, `.gz` or `.zst` file for reading bytes.

    Raises:
        CorpusError: The file is missing, a folder, unreadable or damaged.
    """
    try:
        with path.open("rb") as raw:
            if path.suffix == ".gz":
                with gzip.open(raw, "rb") as unzipped:
                    yield cast(BinaryIO, unzipped)
            elif path.suffix == ".zst":
                yield cast(BinaryIO, io.BufferedReader(ZstdFile(raw)))
            else:
                yield raw
    except FileNotFoundError:
        raise CorpusError(f"{path} not found", hint=_CHECK_PATH) from None
    except IsADirectoryError:
        raise CorpusError(f"{path} is a folder, expected a text file") from None
    except PermissionError:
        raise CorpusError(f"{path} may not be read") from None
    except (EOFError, gzip.BadGzipFile, zlib.error, zstandard.ZstdError) as error:
        raise CorpusError(f"{path} is damaged: {error}") from error


@contextmanager
def named_in_settings() -> Iterator[None]:
    """Let errors about a missing file point to `[data]`, which names it."""
    try:
        yield
    except CorpusError as error:
        if error.hint == _CHECK_PATH:
            error.hint = _CHECK_DATA
        raise


def read_lines(path: Path) -> Iterator[bytes]:
    """Yield a file's lines without their line end (LF or CR LF) and without a BOM."""
    with open_text(path) as file:
        yield from strip_lines(file)


def decode_line(raw: bytes, path: Path, number: int) -> str:
    """Decode one line.

    Raises:
        CorpusError: The line is not UTF-8; the message names file and line.
    """
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"{path}:{number}: not UTF-8 at byte {error.start + 1} of the line "
            f"(0x{raw[error.start]:02x})",
            hint=f"iconv -f ISO-8859-1 -t UTF-8 {path} converts Latin-1 text",
        ) from error


def decoded_lines(path: Path) -> Iterator[str]:
    """Yield a file's lines as text.

    Raises:
        CorpusError: The file cannot be read, or a line is not UTF-8.
    """
    for number, raw in enumerate(read_lines(path), start=1):
        yield decode_line(raw, path, number)


def survey(path: Path) -> Survey:
    """Read a whole text file once: count its lines, check UTF-8, hash its bytes.

    Raises:
        CorpusError: The file is missing, damaged, empty or not UTF-8.
    """
    num_lines = sum(1 for _ in decoded_lines(path))
    if num_lines == 0:
        raise CorpusError(f"{path} is empty")
    return Survey(num_lines, hash_file(path))


def hash_file(path: Path) -> str:
    """SHA-256 of a user's file as it lies on disk.

    Raises:
        CorpusError: The file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CorpusError(f"{path}: {error.strerror}", hint=_CHECK_PATH) from error


def survey_pair(src: Path, tgt: Path) -> tuple[Survey, Survey]:
    """Survey both sides of a parallel text.

    Raises:
        CorpusError: As `survey`, or the sides have different numbers of lines.
    """
    found = survey(src), survey(tgt)
    if found[0].num_lines != found[1].num_lines:
        raise CorpusError(
            f"{src} has {plural(found[0].num_lines, 'line')}, "
            f"{tgt} has {found[1].num_lines:,}",
            hint="line n of one file must translate line n of the other",
        )
    return found


def read_parts(
    src: Path, tgt: Path, *, part_size: int, first_index: int = 0
) -> Iterator[RawPart]:
    """Yield the pairs of two surveyed files in parts of `part_size`.

    Args:
        src: Source file.
        tgt: Target file.
        part_size: Most pairs of a part.
        first_index: Index of the first part: the number of parts before this corpus.
    """
    src_lines, tgt_lines = read_lines(src), read_lines(tgt)
    first_line = 1
    for index in count(first_index):
        chunk = list(islice(src_lines, part_size))
        if not chunk:
            return
        yield RawPart(index, first_line, chunk, list(islice(tgt_lines, part_size)))
        first_line += len(chunk)


def write_part(path: Path, lines: list[list[str]]) -> None:
    """Write token lists, one a line, separated by blanks."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(" ".join(tokens) + "\n" for tokens in lines)


def read_part(path: Path) -> Iterator[list[str]]:
    """Read what `write_part` wrote.

    Raises:
        MissingArtifactError: There is no such part.
        CorruptArtifactError: It is cut short or not UTF-8.
    """
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                if not raw.endswith(b"\n"):
                    raise CorruptArtifactError(
                        f"{path}:{number}: the line is cut short", hint=_AGAIN
                    )
                yield raw[:-1].decode("utf-8").split(" ")
    except FileNotFoundError:
        raise MissingArtifactError(f"{path} not found", hint=_AGAIN) from None
    except UnicodeDecodeError as error:
        raise CorruptArtifactError(f"{path} is not UTF-8", hint=_AGAIN) from error


def warn_of_lines(log: logging.Logger, numbers: Sequence[int], what: str) -> None:
    """Warn about lines, with the numbers of the first ones.

    Args:
        log: Where to warn.
        numbers: The lines, from 1; without any there is no warning.
        what: The problem; follows "1 line" as well as "2 lines".
    """
    if numbers:
        named = ", ".join(map(str, numbers[:_NAMED_LINES]))
        more = ", ..." if len(numbers) > _NAMED_LINES else ""
        noun = "line" if len(numbers) == 1 else "lines"
        lines = plural(len(numbers), "line")
        log.warning("%s %s: %s %s%s", lines, what, noun, named, more)

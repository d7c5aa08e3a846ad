"""Read the user's text files line by line; write and read the token files of a stage.

A line ends at the byte 0x0A and nowhere else. Reads plain, gzip and Zstandard files,
and surveys a file before any work starts: line count, encoding, hash.
"""

import gzip
import hashlib
import io
import logging
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import zstandard

from pipelines.artifacts.stream import strip_lines
from pipelines.artifacts.zstd import ZstdFile
from pipelines.errors import CorpusError, CorruptArtifactError, MissingArtifactError
from pipelines.wording import plural

if TYPE_CHECKING:
    from hashlib import _Hash

_AGAIN = "s2s preprocess --force"
_CHECK_PATH = "check the path"
_CHECK_DATA = "check [data] in s2s.toml"
_NAMED_LINES = 3
_CHUNK_BYTES = 1 << 17


@dataclass(frozen=True, slots=True)
class Survey:
    """The result of one pass over a text file."""

    num_lines: int
    sha256: str
    """Hash of the file's bytes as stored, compressed or not."""
    stamp: str
    """`file_stamp` before the file was read."""


class _HashedFile(io.RawIOBase):
    """A binary file that updates a digest with the bytes read from it."""

    def __init__(self, file: io.BufferedReader, digest: "_Hash") -> None:
        super().__init__()
        self._file, self._digest = file, digest
        self.name = file.name

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override] # a Buffer
        size = self._file.readinto(buffer)
        self._digest.update(buffer[:size])
        return size


@contextmanager
def open_text(path: Path, digest: "_Hash | None" = None) -> Iterator[BinaryIO]:
    """Open a plain, `.gz` or `.zst` file for reading bytes.

    Args:
        path: The file.
        digest: Updated with the bytes of the file as they are read; complete at the end
            of the text.

    Raises:
        CorpusError: The file is missing, a folder, unreadable or damaged.
    """
    with _corpus_errors(path), path.open("rb") as file:
        raw: BinaryIO = file
        if digest is not None:
            hashed = io.BufferedReader(_HashedFile(file, digest), _CHUNK_BYTES)
            raw = cast(BinaryIO, hashed)
        if path.suffix == ".gz":
            with gzip.open(raw, "rb") as unzipped:
                yield cast(BinaryIO, unzipped)
        elif path.suffix == ".zst":
            yield cast(BinaryIO, io.BufferedReader(ZstdFile(raw)))
        else:
            yield raw


@contextmanager
def _corpus_errors(path: Path) -> Iterator[None]:
    """Turn what goes wrong while a text file is read into `CorpusError`."""
    try:
        yield
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
    """Point errors about a missing file to `[data]`, where it is named."""
    try:
        yield
    except CorpusError as error:
        if error.hint == _CHECK_PATH:
            error.hint = _CHECK_DATA
        raise


def read_lines(path: Path, digest: "_Hash | None" = None) -> Iterator[bytes]:
    """Yield a file's lines without their line end (LF or CR LF) and without a BOM.

    `digest` is as in `open_text`.
    """
    with open_text(path, digest) as file:
        yield from strip_lines(file)


def decode_line(raw: bytes, path: Path, number: int) -> str:
    """Decode one line of a file.

    Raises:
        CorpusError: The line is not UTF-8; the message names the file and the line.
    """
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"{path}:{number}: not UTF-8 at byte {error.start + 1} of the line "
            f"(0x{raw[error.start]:02x})",
            hint=f"iconv -f ISO-8859-1 -t UTF-8 {path} converts Latin-1 text",
        ) from error


def decoded_lines(path: Path, digest: "_Hash | None" = None) -> Iterator[str]:
    """Yield a file's lines as text; `digest` is as in `open_text`.

    Raises:
        CorpusError: The file cannot be read, or a line is not UTF-8.
    """
    for number, raw in enumerate(read_lines(path, digest), start=1):
        yield decode_line(raw, path, number)


def survey_file(path: Path) -> Survey:
    """Read a text file once: count its lines, check that it is UTF-8, hash it.

    Raises:
        CorpusError: The file is missing, damaged, empty or not UTF-8.
    """
    with _corpus_errors(path):
        stamp = file_stamp(path)
    digest = hashlib.sha256()
    num_lines = sum(1 for _ in decoded_lines(path, digest))
    if num_lines == 0:
        raise CorpusError(f"{path} is empty")
    return Survey(num_lines, digest.hexdigest(), stamp)


def file_stamp(path: Path) -> str:
    """Join a file's path, size, modification time and inode.

    Take it before reading: a write during or after the read changes it, so that a hash
    stored under it is never used for the new content.
    """
    status = path.stat()
    return f"{path.resolve()}|{status.st_size}|{status.st_mtime_ns}|{status.st_ino}"


def require_unchanged(path: Path, surveyed: str, sha256: str) -> None:
    """Compare the hash of a file with the one of its survey.

    Raises:
        CorpusError: They differ.
    """
    if sha256 != surveyed:
        raise CorpusError(f"{path} changed while it was read", hint="s2s preprocess")


def hash_file(path: Path) -> str:
    """Compute the SHA-256 of a user's file as stored, compressed or not.

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
        CorpusError: As `survey_file`, or the sides have different numbers of lines.
    """
    src_survey, tgt_survey = survey_file(src), survey_file(tgt)
    if src_survey.num_lines != tgt_survey.num_lines:
        raise CorpusError(
            f"{src} has {plural(src_survey.num_lines, 'line')}, "
            f"{tgt} has {tgt_survey.num_lines:,}",
            hint="line n of one file must translate line n of the other",
        )
    return src_survey, tgt_survey


def write_part(path: Path, lines: list[list[str]]) -> None:
    """Write one token list a line, tokens separated by spaces."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(" ".join(tokens) + "\n" for tokens in lines)


def read_part(path: Path) -> Iterator[list[str]]:
    """Yield the token lists that `write_part` wrote.

    Raises:
        MissingArtifactError: The part does not exist.
        CorruptArtifactError: The part is cut short or not UTF-8.
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
    """Warn about affected lines, with the numbers of the first ones.

    Args:
        log: Logger of the warning.
        numbers: Line numbers, from 1; empty: no warning.
        what: The problem, in words that follow "1 line" as well as "2 lines".
    """
    if numbers:
        named = ", ".join(map(str, numbers[:_NAMED_LINES]))
        more = ", ..." if len(numbers) > _NAMED_LINES else ""
        noun = "line" if len(numbers) == 1 else "lines"
        lines = plural(len(numbers), "line")
        log.warning("%s %s: %s %s%s", lines, what, noun, named, more)

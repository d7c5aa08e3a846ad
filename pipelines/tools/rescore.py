"""Rescoring of another system's n-best list with our models.

    list + raw source -> the list with a feature LSTM=, in a new order

The new score is a weighted mean of the old one and the model's natural log-probability,
which may be normalized by length. A list is read a few sentences at a time and may be
larger than memory.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

from pipelines.artifacts.corpus import warn_of_lines
from pipelines.artifacts.inputs import STANDARD_STREAM, decoded_input, input_name
from pipelines.artifacts.nbest import SentenceNbest, read_nbest, write_nbest
from pipelines.errors import CorpusError
from pipelines.metrics.nbest_bleu import NbestBleuCounter
from pipelines.metrics.references import Reference, read_references
from pipelines.progress import SILENT, Progress
from pipelines.tools.rescorer import Rescored, Rescorer
from pipelines.wording import plural

log = logging.getLogger(__name__)

_CHUNK_HYPOTHESES = 2000
"""Hypotheses that are scored together."""
_MANY_UNKNOWN = 0.2
"""Share of unknown tokens above which a warning is logged."""


def rescore_list(
    nbest: Path,
    source: Sequence[str],
    rescorer: Rescorer,
    *,
    progress: Progress = SILENT,
) -> Iterator[Rescored]:
    """Rescore a list, which is read once.

    Args:
        nbest: In Moses' format; plain, `.gz` or `.zst`, or `-` for standard input.
        source: Raw lines; sentence n of the list translates line n + 1.
        rescorer: The models and the settings.
        progress: Shows progress.

    Yields:
        As `rescore_sentences`.

    Raises:
        CorpusError: The list cannot be read, a line of it is malformed, or it has a
            sentence that the source lacks.
    """
    sentences = _read_checked(nbest, len(source))
    return rescore_sentences(sentences, source, rescorer, progress=progress)


def rescore_sentences(
    sentences: Iterable[SentenceNbest],
    source: Sequence[str],
    rescorer: Rescorer,
    *,
    progress: Progress = SILENT,
) -> Iterator[Rescored]:
    """Rescore sentences, some thousands of hypotheses at a time.

    Args:
        sentences: Their n-best lists, numbers ascending, none beyond the source.
        source: Raw lines.
        rescorer: The models and the settings.
        progress: Shows progress.

    Yields:
        One for each source line, in order; empty if the list lacks the line. At the end
        warnings are logged about missing and cut lines and many unknown tokens.
    """
    missing: list[int] = []
    done = 0
    with progress.task("rescore", total=len(source), unit="sentences") as task:
        for chunk in _chunks(sentences):
            results = rescorer.rescore(chunk, source)
            for (number, _), rescored in zip(chunk, results, strict=True):
                missing += range(done + 1, number + 1)
                yield from [Rescored()] * (number - done)
                yield rescored
                task.advance(number + 1 - done)
                done = number + 1
        missing += range(done + 1, len(source) + 1)
        yield from [Rescored()] * (len(source) - done)
        task.advance(len(source) - done)
    _warn(rescorer, missing)


def write_rescored(
    rescored: Iterable[Rescored],
    nbest: TextIO,
    *,
    best: TextIO | None = None,
    comparer: NbestBleuCounter | None = None,
) -> None:
    """Write a rescored list.

    Args:
        rescored: One for each source line.
        nbest: Gets all entries in Moses' format.
        best: Gets the tokens of the best hypothesis of each source line.
        comparer: Gets the hypotheses and the best one of each source line.
    """
    for sentence in rescored:
        write_nbest(nbest, sentence.entries)
        tokens = " ".join(sentence.tokens)
        if best is not None:
            best.write(tokens + "\n")
        if comparer is not None:
            comparer.add(
                [" ".join(entry.tokens) for entry in sentence.original], tokens
            )


def check_list(nbest: Path, num_lines: int, *, progress: Progress = SILENT) -> None:
    """Read a list to its end, so that errors in it are reported before the long work.

    A pipe and standard input can be read only once and are not read here.

    Args:
        nbest: The n-best list.
        num_lines: Of the source.
        progress: Shows progress.

    Raises:
        CorpusError: As `rescore_list`.
    """
    if nbest == STANDARD_STREAM or not nbest.is_file():
        return
    with progress.task("check the list", total=num_lines, unit="sentences") as task:
        for _ in _read_checked(nbest, num_lines):
            task.advance()


def read_source(
    path: Path, references: Sequence[Path]
) -> tuple[list[str], list[Reference]]:
    """Read the source of a list and its references, if there are any.

    Returns:
        The lines of the source, and of each reference as `read_references` returns.

    Raises:
        CorpusError: A file cannot be read, or the numbers of lines differ.
    """
    source, refs = list(decoded_input(path)), read_references(references)
    for reference, ref in zip(references, refs, strict=True):
        if len(source) != len(ref):
            raise CorpusError(
                f"{input_name(path)} has {plural(len(source), 'line')}, "
                f"{input_name(reference)} has {len(ref):,}",
                hint="line n of the reference must translate line n of the source",
            )
    return source, refs


def _read_checked(path: Path, num_lines: int) -> Iterator[SentenceNbest]:
    for number, entries in read_nbest(path):
        if number >= num_lines:
            raise CorpusError(
                f"{input_name(path)}: sentence {number}, but the source has "
                f"{plural(num_lines, 'line')}",
                hint="ids count from 0: sentence n translates line n + 1",
            )
        yield number, entries


def _chunks(
    sentences: Iterable[SentenceNbest],
) -> Iterator[list[SentenceNbest]]:
    """Yield chunks of sentences with enough hypotheses; nothing is read ahead."""
    chunk: list[SentenceNbest] = []
    num_hypotheses = 0
    for sentence in sentences:
        chunk.append(sentence)
        num_hypotheses += len(sentence[1])
        if num_hypotheses >= _CHUNK_HYPOTHESES:
            yield chunk
            chunk, num_hypotheses = [], 0
    if chunk:
        yield chunk


def _warn(rescorer: Rescorer, missing: Sequence[int]) -> None:
    warn_of_lines(log, missing, "of the source missing from the list")
    limit = rescorer.settings.max_source_length
    warn_of_lines(
        log, rescorer.truncated, f"of the source longer than {limit} tokens; cut"
    )
    share = rescorer.num_unknown / max(1, rescorer.num_tokens)
    if share > _MANY_UNKNOWN:
        log.warning(
            "%.0f %% of the list's tokens are not in the model's vocabulary%s",
            100 * share,
            "" if rescorer.settings.tokenize else "; --tokenize cuts them as it does",
        )

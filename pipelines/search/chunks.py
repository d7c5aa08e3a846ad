"""Translation of chunks of raw lines, checked and counted, with warnings at the end."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pipelines.artifacts.corpus import warn_of_lines
from pipelines.artifacts.translations import Translation
from pipelines.config import TranslateConfig
from pipelines.errors import S2SError
from pipelines.progress import SILENT, Progress
from pipelines.wording import plural

log = logging.getLogger(__name__)

_SUSPICIOUS_SHARE = 0.5
"""Share of empty translations or unknown tokens above which the model does not fit."""


class LineTranslator(Protocol):
    """The interface of `Translator` that translating a text needs."""

    config: TranslateConfig

    @property
    def chunk_size(self) -> int:
        """Number of lines to translate together."""

    @property
    def identity(self) -> str:
        """Hash of the models and of their text rules."""

    def translate(self, lines: Sequence[str]) -> list[Translation]:
        """Translate lines, in order."""


def translate_chunks(
    chunks: Iterable[Sequence[bytes]],
    translator: LineTranslator,
    *,
    first: int = 0,
    progress: Progress = SILENT,
    total: int | None = None,
) -> Iterator[list[Translation]]:
    """Translate chunks of lines as they arrive.

    Args:
        chunks: Raw lines without their ends. Bytes that are not UTF-8 become U+FFFD.
        translator: The models and the search.
        first: Number of lines before these, for line numbers in messages.
        progress: Shows progress.
        total: Number of lines, if it is known.

    Yields:
        One translation for each line of a chunk, in order. At the end, warnings are
        logged about lines that are not UTF-8 or were cut, and when most translations
        are empty or most tokens unknown.

    Raises:
        S2SError: The number of translations differs from the number of lines.
    """
    lines_in = lines_out = first
    issues = _Issues()
    with progress.task("translate", total=total) as task:
        for chunk in chunks:
            lines: list[str] = []
            for raw in chunk:
                lines_in += 1
                try:
                    lines.append(raw.decode())
                except UnicodeDecodeError:
                    issues.not_utf8.append(lines_in)
                    lines.append(raw.decode(errors="replace"))
            translations = translator.translate(lines)
            for number, translation in enumerate(translations, start=lines_out + 1):
                issues.add(number, translation)
            lines_out += len(translations)
            if lines_in != lines_out:
                raise S2SError(
                    f"{plural(lines_in, 'line')} in, {plural(lines_out, 'line')} out"
                )
            yield translations
            task.advance(len(chunk))
    issues.warn(translator.config.max_source_length)


@dataclass(slots=True)
class _Issues:
    """Counts of lines and tokens that deserve a warning at the end of a text."""

    not_utf8: list[int] = field(default_factory=list)
    """Line numbers, from 1."""
    truncated: list[int] = field(default_factory=list)
    """Line numbers, from 1."""
    num_translated: int = 0
    """Lines that are not blank."""
    num_empty: int = 0
    """Lines that are not blank but have an empty translation."""
    first_empty: int = 0
    num_tokens: int = 0
    num_unknown: int = 0

    def add(self, number: int, translation: Translation) -> None:
        if translation.truncated:
            self.truncated.append(number)
        if not translation.outputs:
            return
        self.num_translated += 1
        self.num_tokens += translation.num_tokens
        self.num_unknown += translation.num_unknown
        if not translation.text:
            self.num_empty += 1
            self.first_empty = self.first_empty or number

    def warn(self, limit: int) -> None:
        warn_of_lines(log, self.not_utf8, "not UTF-8; the bad bytes were replaced")
        warn_of_lines(
            log,
            self.truncated,
            f"longer than {limit} tokens; cut (translate.max_source_length)",
        )
        if self.num_empty > _SUSPICIOUS_SHARE * self.num_translated:
            log.warning(
                "%d of %s %s empty, the first that of line %d: the model is trained "
                "too little, or the input is of another language or tokenization than "
                "the text it was trained on",
                self.num_empty,
                plural(self.num_translated, "translation"),
                "is" if self.num_empty == 1 else "are",
                self.first_empty,
            )
        if self.num_unknown > _SUSPICIOUS_SHARE * self.num_tokens:
            log.warning(
                "%.0f %% of the input's tokens are not in the model's source "
                "vocabulary: check that its language, casing and tokenization are "
                "those of the text the model was trained on",
                100 * self.num_unknown / self.num_tokens,
            )

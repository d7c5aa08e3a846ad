"""Translating a source text into an output: line by line, or resumed."""

import logging
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, TypeGuard

from pipelines.artifacts.inputs import STANDARD_STREAM
from pipelines.progress import SILENT
from s2scli.console import progress, show_note
from s2scli.output import (
    can_be_replaced,
    follow_link,
    open_output,
    refuse_same_file,
    require_output,
)
from s2scli.signals import hint_if_stopped
from s2scli.source_text import SourceText

if TYPE_CHECKING:
    from pipelines.search.translator import Translation, Translator

Format = Callable[[int, "Translation"], str]
"""The lines that are written for a line, given its number from 0."""

log = logging.getLogger("pipelines.translate")


def check_output(output_file: Path | None, source: SourceText) -> None:
    """Check before the work that an output can be written, and replaces no input.

    Raises:
        UsageError: It cannot, or does.
    """
    from pipelines.artifacts.layout import part_files

    require_output(output_file)
    outputs = [output_file or STANDARD_STREAM]
    if _is_resumable(output_file):
        outputs += part_files(follow_link(output_file))
    refuse_same_file(outputs, source.paths)


def translate_source(
    translator: "Translator",
    source: SourceText,
    output_file: Path | None,
    form: Format,
    num_lines: int | None,
) -> None:
    """Translate all lines of a source, in order.

    Args:
        translator: Does the work.
        source: What to translate.
        output_file: None and `-` are standard output. Files into a file are resumed
            where an earlier process with the same task stopped.
        form: How a translation is written.
        num_lines: Number of lines of the source, where it is known.
    """
    if source.is_in_files and _is_resumable(output_file):
        _translate_files(translator, source, output_file, form, num_lines)
    else:
        _translate_stream(translator, source, output_file, form, num_lines)


def _is_resumable(output_file: Path | None) -> TypeGuard[Path]:
    if output_file is None or output_file == STANDARD_STREAM:
        return False
    return can_be_replaced(output_file)


def _translate_stream(
    translator: "Translator",
    source: SourceText,
    output_file: Path | None,
    form: Format,
    num_lines: int | None,
) -> None:
    """Translate what comes, and write it as it is ready."""
    from pipelines.translate import translate_stream

    with ExitStack() as stack:
        output = stack.enter_context(open_output(output_file))
        if source.is_typed and output.isatty():
            stack.enter_context(hint_if_stopped(""))  # what was written is plain to see
        if source.is_typed and log.isEnabledFor(logging.INFO):
            show_note("type a sentence a line; Ctrl-D ends")
        # A bar would run through lines that go to or come from the same terminal.
        shown = SILENT if output.isatty() or source.is_typed else progress()
        windows = source.windows(translator.window)
        number = 0
        for found in translate_stream(
            windows, translator, progress=shown, total=num_lines
        ):
            number = _write(found, number, output, form)
            if not _is_resumable(output_file):
                output.flush()


def _translate_files(
    translator: "Translator",
    source: SourceText,
    output_file: Path,
    form: Format,
    num_lines: int | None,
) -> None:
    """Translate files into a file, resuming where an earlier process stopped."""
    from pipelines.artifacts.resumable import resumable
    from pipelines.translate import task_identity, translate_stream

    identity = task_identity(translator, source.paths, form.__name__)
    with (
        hint_if_stopped("the same command resumes"),
        resumable(follow_link(output_file), identity) as output,
    ):
        number = output.num_inputs
        stream = translate_stream(
            source.windows(translator.window, skip=number),
            translator,
            first=number,
            progress=progress(),
            total=None if num_lines is None else num_lines - number,
        )
        for found in stream:
            number = _write(found, number, output.file, form)
            output.record(number)


def _write(
    found: "Iterable[Translation]", number: int, output: TextIO, form: Format
) -> int:
    """Write translations from line `number` (from 0); returns the next number."""
    for translation in found:
        output.write(form(number, translation))
        number += 1
    return number

"""Terminal output: tables on standard output, logs and notes on standard error.

Only this module and `s2scli.progress` import rich.
"""

import itertools
import json
import logging
import os
import sys
import textwrap
from collections.abc import MutableMapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TextIO

from rich.console import Console
from rich.logging import RichHandler
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from pipelines.progress import SilentProgress
from s2scli.progress import PlainProgress, TerminalProgress

_NARROW_WIDTH = 60
_NARROW_CELL = 30
_COLUMN_GAP = "  "
_COMMENT_COLUMN = 43


def _unset_zero_size(environ: MutableMapping[str, str]) -> None:
    """Remove COLUMNS and LINES if they are 0, as in some containers.

    Rich and Typer would use that size and print nothing. Without the variables they ask
    the terminal; without a terminal, or with one of size 0, they take 80 by 25.
    """
    for name in ("COLUMNS", "LINES"):
        if environ.get(name, "").strip("0 ") == "":
            environ.pop(name, None)


_unset_zero_size(os.environ)  # before the consoles, which read the variables once
stdout = Console(highlight=False, soft_wrap=True)
stderr = Console(stderr=True, highlight=False)


class LogFormat(StrEnum):
    """Format of log lines."""

    TEXT = "text"
    JSON = "json"


class _State:
    """The values of -q and --log-format in this process."""

    quiet = False
    log_format = LogFormat.TEXT


def choose_log_format(arguments: Sequence[str]) -> None:
    """Read --log-format before parsing, so that the parser's errors follow it."""
    given = [*itertools.takewhile(lambda a: a != "--", arguments)]
    is_json = "--log-format=json" in given or any(
        pair == ("--log-format", "json") for pair in itertools.pairwise(given)
    )
    _State.log_format = LogFormat.JSON if is_json else LogFormat.TEXT


def configure_logging(*, quiet: bool, verbose: bool, log_format: LogFormat) -> None:
    """Send the log to standard error, in the format and at the level chosen."""
    _State.quiet, _State.log_format = quiet, log_format
    handler: logging.Handler
    if log_format is LogFormat.JSON:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(_JsonFormatter())
    elif stderr.is_terminal:
        handler = RichHandler(
            console=stderr,
            show_time=stderr.width >= _NARROW_WIDTH,
            show_path=False,
            markup=False,
            log_time_format="%H:%M:%S",
        )
        handler.setFormatter(logging.Formatter("%(message)s"))
    else:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(
            logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S")
        )
    level = logging.INFO
    if quiet:
        level = logging.WARNING
    elif verbose:
        level = logging.DEBUG
    logger = logging.getLogger("pipelines")
    logger.handlers[:] = [handler]
    logger.setLevel(level)
    logger.propagate = False


def show_note(message: str) -> None:
    """Print a note about a result on standard error; -q does not silence it."""
    if _State.log_format is LogFormat.JSON:
        sys.stderr.write(json.dumps({"level": "NOTE", "message": message}) + "\n")
    else:
        _print_to_stderr(message)


def show_error(message: str, hint: str = "") -> None:
    """Print an error on standard error: the fact and what to do about it."""
    if _State.log_format is LogFormat.JSON:
        line = json.dumps({"level": "ERROR", "message": message, "hint": hint})
        sys.stderr.write(line + "\n")
        return
    _print_to_stderr(message, head="error: ", style="bold red")
    if hint:
        _print_to_stderr(hint, head="hint: ", style="bold")


def _print_to_stderr(message: str, *, head: str = "", style: str = "") -> None:
    """Print text; a terminal gets it wrapped between words, with paths whole."""
    text = head + message
    if stderr.is_terminal:
        text = "\n".join(
            "\n".join(_wrap(line, stderr.width)) for line in text.split("\n")
        )
    shown = Text(text)
    shown.stylize(style, 0, len(head))
    stderr.print(shown, soft_wrap=True)


def _wrap(text: str, width: int, *, indent: str = "") -> list[str]:
    """Wrap between words; a word that is too long has a line of its own."""
    return textwrap.wrap(
        text,
        width,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def print_json(value: Any, *, to: TextIO | None = None) -> None:
    """Print a result as JSON, on standard output by default."""
    (to or sys.stdout).write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    notes: Sequence[str] = (),
    blank_line_first: bool = False,
    to: Console = stdout,
) -> None:
    """Print a table with numbers aligned to the right.

    If the last column would be too narrow to read, its cells are printed below their
    rows.

    Args:
        columns: The heads of the columns.
        rows: The cells of each row.
        notes: Lines below the table.
        blank_line_first: Print a blank line before the table.
        to: Standard output, or standard error for what is not a result.
    """
    if blank_line_first:
        to.print()
    last = len(columns) - 1
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    left = to.width - sum(widths[:last]) - len(_COLUMN_GAP) * last
    if left < min(widths[last], _NARROW_CELL):
        for row in (columns, *rows):
            _print_folded(
                row, widths[:last], style="bold" if row is columns else "", to=to
            )
    else:
        to.print(_table(columns, rows), soft_wrap=False)
    for note in notes:
        to.print(Text(note, style="dim"), soft_wrap=False)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        cells = [row[index] for row in rows]
        numeric = bool(cells) and all(_is_number(cell) for cell in cells)
        justify = "right" if numeric else "left"
        table.add_column(column, justify=justify, overflow="fold")  # type: ignore[arg-type] # a literal
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _print_folded(
    row: Sequence[str], widths: Sequence[int], *, style: str, to: Console
) -> None:
    """Print a row with its last cell below it, indented."""
    *cells, last = row
    line = _COLUMN_GAP.join(
        cell.ljust(width) for cell, width in zip(cells, widths, strict=True)
    )
    to.print(Text(line.rstrip(), style=style), soft_wrap=False)
    if last:
        to.print(Padding(Text(last, style=style), (0, 0, 0, 4)), soft_wrap=False)


def print_commented(lines: Sequence[tuple[str, str]]) -> None:
    """Print each line with its comment.

    The comment follows on the same line. On a terminal that is too narrow for the
    longest line, every comment is wrapped above its line.

    Args:
        lines: Each line and its comment, which may be empty.
    """
    commented = [
        line.ljust(_COMMENT_COLUMN) + f" # {comment}" if comment else line
        for line, comment in lines
    ]
    if not stdout.is_terminal or max(map(len, commented), default=0) <= stdout.width:
        print_lines(commented)
        return
    wrapped: list[str] = []
    for line, comment in lines:
        wrapped += [*_wrap(comment, stdout.width, indent="# "), line]
    print_lines(wrapped)


def print_lines(lines: Sequence[str]) -> None:
    """Print lines on standard output."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def progress() -> TerminalProgress | PlainProgress | SilentProgress:
    """Return how to show progress: on a terminal, in a log, or not at all with -q."""
    if _State.quiet:
        return SilentProgress()
    draws = stderr.is_terminal and not stderr.is_dumb_terminal
    if draws and _State.log_format is LogFormat.TEXT:
        return TerminalProgress(stderr)
    return PlainProgress()


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """Format a record as one line of JSON."""
        time_text = datetime.fromtimestamp(record.created, UTC).isoformat()
        return json.dumps(
            {
                "time": time_text,
                "level": record.levelname,
                "message": record.getMessage(),
            },
            ensure_ascii=False,
        )


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).replace(",", "").lstrip("-").isdigit()

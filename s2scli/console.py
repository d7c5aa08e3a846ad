"""What people see: tables on standard output, logs and progress on standard error.

Only this module and `s2scli.progress`, which draws the tasks, know rich.
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


def _forget_size_zero(environ: MutableMapping[str, str]) -> None:
    """Drop COLUMNS and LINES where they are 0, as in some containers.

    Rich and typer would believe them and print nothing. Without them they ask the
    terminal, and where there is none, or one of size 0, they take 80 by 25.
    """
    for name in ("COLUMNS", "LINES"):
        if environ.get(name, "").strip("0 ") == "":
            environ.pop(name, None)


# Before the consoles, which read them once.
_forget_size_zero(os.environ)
stdout = Console(highlight=False, soft_wrap=True)
stderr = Console(stderr=True, highlight=False)


class LogFormat(StrEnum):
    """How log lines look."""

    TEXT = "text"
    JSON = "json"


class _State:
    """What -q, -v and --log-format have set for this process."""

    quiet = False
    log_format = LogFormat.TEXT


def choose_log_format(arguments: Sequence[str]) -> None:
    """Read --log-format ahead of the parser, whose errors follow it, too."""
    given = [*itertools.takewhile(lambda a: a != "--", arguments)]
    is_json = "--log-format=json" in given or any(
        pair == ("--log-format", "json") for pair in itertools.pairwise(given)
    )
    _State.log_format = LogFormat.JSON if is_json else LogFormat.TEXT


def configure_logging(*, quiet: bool, verbose: bool, log_format: LogFormat) -> None:
    """Send the log of s2s to standard error."""
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
    """Print what goes with a result but is not part of it; -q does not silence it."""
    if _State.log_format is LogFormat.JSON:
        sys.stderr.write(json.dumps({"level": "NOTE", "message": message}) + "\n")
    else:
        _say(message)


def show_error(message: str, hint: str = "") -> None:
    """Print an error: the fact, and what to do."""
    if _State.log_format is LogFormat.JSON:
        line = json.dumps({"level": "ERROR", "message": message, "hint": hint})
        sys.stderr.write(line + "\n")
        return
    _say(message, head="error: ", style="bold red")
    if hint:
        _say(hint, head="hint: ", style="bold")


def _say(message: str, *, head: str = "", style: str = "") -> None:
    """Print on standard error; a terminal gets whole words, and whole paths to copy."""
    text = head + message
    if stderr.is_terminal:
        text = "\n".join(
            "\n".join(_wrap(line, stderr.width)) for line in text.split("\n")
        )
    shown = Text(text)
    shown.stylize(style, 0, len(head))
    stderr.print(shown, soft_wrap=True)


def _wrap(text: str, width: int, *, indent: str = "") -> list[str]:
    """Fold between words; a longer word has a line of its own."""
    return textwrap.wrap(
        text,
        width,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def print_json(value: Any, *, to: TextIO | None = None) -> None:
    """Print a result for machines, on standard output by default."""
    (to or sys.stdout).write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    notes: Sequence[str] = (),
    apart: bool = False,
    to: Console = stdout,
) -> None:
    """Print a result for people; numbers to the right.

    Where the last column would be too narrow to read, its cells stand below their rows.

    Args:
        columns: Their heads.
        rows: Of cells.
        notes: Lines below the table.
        apart: Leave a blank line before it.
        to: Standard output, or standard error for what is no result.
    """
    if apart:
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
    """Print a row, and its last cell below it."""
    *cells, below = row
    beside = _COLUMN_GAP.join(
        cell.ljust(width) for cell, width in zip(cells, widths, strict=True)
    )
    to.print(Text(beside.rstrip(), style=style), soft_wrap=False)
    if below:
        to.print(Padding(Text(below, style=style), (0, 0, 0, 4)), soft_wrap=False)


def print_commented(lines: Sequence[tuple[str, str]]) -> None:
    """Print lines and a comment on each.

    The comment stands beside its line. On a terminal that is too narrow for that it
    stands above the line, on as many lines as it takes.

    Args:
        lines: Line and comment; one without a comment is printed as it is.
    """
    beside = [
        line.ljust(_COMMENT_COLUMN) + f" # {comment}" if comment else line
        for line, comment in lines
    ]
    if not stdout.is_terminal or max(map(len, beside), default=0) <= stdout.width:
        print_lines(beside)
        return
    above: list[str] = []
    for line, comment in lines:
        above += _wrap(comment, stdout.width, indent="# ")
        above.append(line)
    print_lines(above)


def print_lines(lines: Sequence[str]) -> None:
    """Print plain lines."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def progress() -> TerminalProgress | PlainProgress | SilentProgress:
    """The progress that fits where standard error goes."""
    if _State.quiet:
        return SilentProgress()
    draws = stderr.is_terminal and not stderr.is_dumb_terminal
    if draws and _State.log_format is LogFormat.TEXT:
        return TerminalProgress(stderr)
    return PlainProgress()


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """One JSON object a line."""
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

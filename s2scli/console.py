"""What people see: tables on standard output, logs and progress on standard error.

The only module that knows rich. A bar is drawn on a terminal only; elsewhere a task is
a plain line now and then.
"""

import json
import logging
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TextIO

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from pipelines.progress import SilentProgress, Task

_PLAIN_EVERY_S = 30.0

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


def configure(*, quiet: bool, verbose: bool, log_format: LogFormat) -> None:
    """Send the log of s2s to standard error."""
    _State.quiet, _State.log_format = quiet, log_format
    handler: logging.Handler
    if log_format is LogFormat.JSON:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(_JsonFormatter())
    elif stderr.is_terminal:
        handler = RichHandler(
            console=stderr, show_path=False, markup=False, log_time_format="%H:%M:%S"
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
        stderr.print(message, soft_wrap=True, markup=False)


def show_error(message: str, hint: str = "") -> None:
    """Print an error: the fact, and what to do."""
    if _State.log_format is LogFormat.JSON:
        line = json.dumps({"level": "ERROR", "message": message, "hint": hint})
        sys.stderr.write(line + "\n")
        return
    stderr.print(Text("error: ", style="bold red") + Text(message), soft_wrap=True)
    if hint:
        stderr.print(Text("hint: ", style="bold") + Text(hint), soft_wrap=True)


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

    Args:
        columns: Their heads.
        rows: Of cells.
        notes: Lines below the table.
        apart: Leave a blank line before it.
        to: Standard output, or standard error for what is no result.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        cells = [row[index] for row in rows]
        numeric = bool(cells) and all(_is_number(cell) for cell in cells)
        justify = "right" if numeric else "left"
        table.add_column(column, justify=justify, overflow="fold")  # type: ignore[arg-type] # a literal
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    if apart:
        to.print()
    to.print(table, soft_wrap=False)
    for note in notes:
        to.print(Text(note, style="dim"))


def print_lines(lines: Sequence[str]) -> None:
    """Print plain lines."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def progress() -> "TerminalProgress | PlainProgress | SilentProgress":
    """The progress that fits where standard error goes."""
    if _State.quiet:
        return SilentProgress()
    if stderr.is_terminal and _State.log_format is LogFormat.TEXT:
        return TerminalProgress()
    return PlainProgress()


class _FiguresColumn(ProgressColumn):
    """The figures beside a bar."""

    def render(self, task: Any) -> Text:
        """Draw the last figures the task was given."""
        figures: dict[str, str] = task.fields.get("figures", {})
        shown = [v if k == "speed" else f"{k} {v}" for k, v in figures.items()]
        return Text("  ".join(shown), style="cyan")


class _BarTask:
    def __init__(self, bar: Progress, number: Any) -> None:
        self._bar, self._number = bar, number

    def advance(self, amount: int = 1, **figures: str) -> None:
        """Move the bar."""
        if figures:
            self._bar.update(self._number, advance=amount, figures=figures)
        else:
            self._bar.update(self._number, advance=amount)


class TerminalProgress:
    """Bars; a task inside a task is a second bar."""

    def __init__(self) -> None:
        self._bar: Progress | None = None

    @contextmanager
    def task(
        self, description: str, *, total: int | None = None, unit: str = "lines"
    ) -> Iterator[Task]:
        """Show a bar while the block runs."""
        outermost = self._bar is None
        bar = self._bar or Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(elapsed_when_finished=True),
            _FiguresColumn(),
            console=stderr,
            transient=True,
        )
        self._bar = bar
        if outermost:
            bar.start()
        number = bar.add_task(description, total=total, unit=unit, figures={})
        try:
            yield _BarTask(bar, number)
        finally:
            bar.remove_task(number)
            if outermost:
                bar.stop()
                self._bar = None


class _PlainTask:
    def __init__(self, description: str, total: int | None, unit: str) -> None:
        self._description, self._total, self._unit = description, total, unit
        self._done = 0
        self._figures: dict[str, str] = {}
        self._started = self._told = time.monotonic()

    def advance(self, amount: int = 1, **figures: str) -> None:
        """Count, and tell now and then."""
        self._done += amount
        self._figures |= figures
        now = time.monotonic()
        if now - self._told >= _PLAIN_EVERY_S:
            self._told = now
            _log.info("%s", self._line(now - self._started))

    def _line(self, elapsed_s: float) -> str:
        parts = [f"{self._description}: {self._done}"]
        if self._total:
            left_s = elapsed_s / max(self._done, 1) * (self._total - self._done)
            parts[0] += f" of {self._total}"
            parts.append(f"ETA {left_s:.0f} s")
        parts[0] += f" {self._unit}"
        parts += [v if k == "speed" else f"{k} {v}" for k, v in self._figures.items()]
        return ", ".join(parts)


class PlainProgress:
    """Log lines, for files and for machines."""

    @contextmanager
    def task(
        self, description: str, *, total: int | None = None, unit: str = "lines"
    ) -> Iterator[Task]:
        """Tell of the work now and then."""
        yield _PlainTask(description, total, unit)


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


_log = logging.getLogger("pipelines.progress")

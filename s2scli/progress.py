"""Progress of long work: one line a task on a terminal, elsewhere a log line at times.

A line on a terminal never wraps. Its parts stand in order of importance: description
and count, the task's figures as it lists them, the time left, a bar, the time spent.
What does not fit is left out, the least important first; the first figure always stays.
"""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.segment import Segment
from rich.spinner import Spinner
from rich.text import Text

from pipelines.progress import Task

_PLAIN_EVERY_S = 30.0
_GAP = "  "
_SPINNER_WIDTH = 2
_BAR_WIDTHS = 10, 40  # the least that is drawn, and the most

_log = logging.getLogger("pipelines.progress")


class Meter:
    """Count, figures and times of one task.

    Args:
        description: Names the task.
        total: Units in all, where that is known.
        unit: Their name, in the plural.
    """

    def __init__(self, description: str, total: int | None, unit: str) -> None:
        self.description, self.total = description, total
        self.done = 0
        self._unit = unit
        self._figures: Mapping[str, str] = {}
        self._started_s = self._last_s = time.monotonic()
        self._first: tuple[float, int] | None = None

    def advance(self, amount: int = 1, **figures: str) -> None:
        """Count units; `figures` replace those shown."""
        self.done += amount
        self._last_s = time.monotonic()
        if self._first is None:
            # A resumed task starts with what was done before: no measure of speed.
            self._first = self._last_s, self.done
        if figures:
            self._figures = figures

    @property
    def unit(self) -> str:
        """The unit's name, in the number that its count takes."""
        number = self.done if self.total is None else self.total
        return _singular(self._unit) if number == 1 else self._unit

    @property
    def figures(self) -> list[str]:
        """The figures, the most important one first, and the time left."""
        shown = [v if k == "speed" else f"{k} {v}" for k, v in self._figures.items()]
        left_s = self._left_s()
        return shown if left_s is None else [*shown, f"ETA {duration(left_s)}"]

    @property
    def elapsed_s(self) -> float:
        """Seconds since the task began."""
        return time.monotonic() - self._started_s

    def _left_s(self) -> float | None:
        """Seconds to the end at the mean speed since the first advance."""
        if self.total is None or self._first is None:
            return None
        first_s, first_done = self._first
        if self.done <= first_done:
            return None
        unit_s = (self._last_s - first_s) / (self.done - first_done)
        # A long wait is no unit: in a training it is a validation.
        waited_s = min(unit_s, time.monotonic() - self._last_s)
        return max(0.0, unit_s * (self.total - self.done) - waited_s)


def _singular(unit: str) -> str:
    return unit.removesuffix("es" if unit.endswith("ches") else "s")


def duration(seconds: float) -> str:
    """Format a time as 0:07, 1:02:03, or 4d 05h."""
    minutes, whole_seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d {hours:02d}h"
    if hours:
        return f"{hours}:{minutes:02d}:{whole_seconds:02d}"
    return f"{minutes}:{whole_seconds:02d}"


class Line:
    """One task on a terminal.

    Args:
        meter: Counts the task.
    """

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._spinners = {True: Spinner("line"), False: Spinner("dots")}

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> RenderResult:
        """Draw the parts that fit."""
        meter, room = self._meter, options.max_width - _SPINNER_WIDTH
        head, figures = self._parts(room)
        line = Text(no_wrap=True, overflow="crop", end="")
        line.append_text(self._spinner(console, options))
        line.append(f" {head}")
        line.append("".join(_GAP + figure for figure in figures), style="cyan")
        line.truncate(options.max_width)
        yield line
        elapsed = f"{_GAP}elapsed {duration(meter.elapsed_s)}"
        least, most = _BAR_WIDTHS
        room = options.max_width - line.cell_len - len(_GAP)
        if room < least + len(elapsed):
            elapsed = ""
        if room >= least:
            width = min(most, room - len(elapsed))
            yield Text(_GAP, end="")
            bar = ProgressBar(total=meter.total, completed=meter.done, width=width)
            # Without colors rich draws only what is done.
            segments = list(console.render(bar, options))
            yield from Segment.adjust_line_length(segments, width)
        yield Text(elapsed, no_wrap=True)

    def _spinner(self, console: Console, options: ConsoleOptions) -> Text:
        frame = self._spinners[options.ascii_only].render(console.get_time())
        assert isinstance(frame, Text)
        return Text(frame.plain, style="green")

    def _parts(self, room: int) -> tuple[str, list[str]]:
        """The head and the figures that fit into `room` cells."""
        meter, figures = self._meter, self._meter.figures
        count = str(meter.done)
        if meter.total is not None:
            total = str(meter.total)
            count = f"{count:>{len(total)}}/{total}"
        named = f"{meter.description} {count}"
        whole = f"{named} {meter.unit}"
        for head in (whole, named):
            if _fits(room, head, figures):
                return head, figures
        kept = figures[:1]
        head = next((h for h in (named, count) if _fits(room, h, kept)), "")
        for figure in figures[1:]:
            if _fits(room, head, [*kept, figure]):
                kept.append(figure)
        return head, kept


def _fits(room: int, head: str, figures: list[str]) -> bool:
    return cell_len(_GAP.join([head, *figures])) <= room


class TerminalProgress:
    """A line a task; a task inside a task stands below it.

    Args:
        console: The terminal.
    """

    def __init__(self, console: Console) -> None:
        self._lines: list[Line] = []
        self._display = Live(
            self,
            console=console,
            refresh_per_second=10,
            transient=True,
            redirect_stdout=False,  # it carries data, which is not ours to show
        )

    def __rich_console__(
        self,
        console: Console,
        options: ConsoleOptions,
    ) -> RenderResult:
        """Draw the open tasks."""
        yield from tuple(self._lines)

    @contextmanager
    def task(
        self, description: str, *, total: int | None = None, unit: str = "lines"
    ) -> Iterator[Task]:
        """Show a line while the block runs."""
        meter = Meter(description, total, unit)
        line = Line(meter)
        self._lines.append(line)
        try:
            if self._display.is_started:
                self._display.refresh()
                yield meter
            else:
                with self._display:
                    yield meter
        finally:
            self._lines.remove(line)


class _PlainTask(Meter):
    def __init__(self, description: str, total: int | None, unit: str) -> None:
        super().__init__(description, total, unit)
        self._logged_s = time.monotonic()

    def advance(self, amount: int = 1, **figures: str) -> None:
        """Count, and log from time to time."""
        super().advance(amount, **figures)
        now_s = time.monotonic()
        if now_s - self._logged_s >= _PLAIN_EVERY_S:
            self._logged_s = now_s
            count = str(self.done)
            if self.total is not None:
                count += f" of {self.total}"
            head = f"{self.description}: {count} {self.unit}"
            _log.info("%s", ", ".join([head, *self.figures]))


class PlainProgress:
    """Log lines, for files and for machines."""

    @contextmanager
    def task(
        self, description: str, *, total: int | None = None, unit: str = "lines"
    ) -> Iterator[Task]:
        """Log a line from time to time while the block runs."""
        yield _PlainTask(description, total, unit)

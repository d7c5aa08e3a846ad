"""Progress of long tasks: one line each on a terminal, else a log line now and then.

A line on a terminal never wraps. Its parts are ordered by importance: description and
count, the task's figures in its order, the time left, a bar, the time spent. What does
not fit is left out, the least important first; the first figure is always shown.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.segment import Segment
from rich.spinner import Spinner
from rich.text import Text

from pipelines.progress import Task

_LOG_EVERY_S = 30.0
_GAP = "  "
_SPINNER_WIDTH = 2
_BAR_WIDTHS = 10, 40  # smallest and largest

_log = logging.getLogger("pipelines.progress")


Clock = Callable[[], float]
"""Returns a time in seconds that never decreases."""


class Meter:
    """Count, figures and times of one task.

    Args:
        description: Name of the task.
        total: Number of units; None if it is not known.
        unit: Name of a unit, in the plural.
        clock: Measures the task.
    """

    def __init__(
        self, description: str, total: int | None, unit: str, clock: Clock
    ) -> None:
        self.description, self.total = description, total
        self.done = 0
        self._unit = unit
        self._clock = clock
        self._figures: Mapping[str, str] = {}
        self._started_s = self._last_s = clock()
        self._first: tuple[float, int] | None = None

    def advance(self, amount: int = 1, **figures: str) -> None:
        """Count units; `figures` replace the ones shown."""
        self.done += amount
        self._last_s = self._clock()
        if self._first is None:
            # The first units of a resumed task were done before, which is no speed.
            self._first = self._last_s, self.done
        if figures:
            self._figures = figures

    @property
    def unit(self) -> str:
        """The unit's name, in the singular for a count of one."""
        number = self.done if self.total is None else self.total
        return _singular(self._unit) if number == 1 else self._unit

    @property
    def figures(self) -> list[str]:
        """The figures in order of importance, and the time left."""
        shown = [v if k == "speed" else f"{k} {v}" for k, v in self._figures.items()]
        left_s = self._left_s()
        return shown if left_s is None else [*shown, f"ETA {duration(left_s)}"]

    @property
    def elapsed_s(self) -> float:
        """Seconds since the task began."""
        return self._clock() - self._started_s

    def _left_s(self) -> float | None:
        """Return seconds to the end at the mean speed since the first advance."""
        if self.total is None or self._first is None:
            return None
        first_s, first_done = self._first
        if self.done <= first_done:
            return None
        unit_s = (self._last_s - first_s) / (self.done - first_done)
        # Count a wait as one unit at most: a long one is a validation, for example.
        waited_s = min(unit_s, self._clock() - self._last_s)
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
    """The line of one task on a terminal.

    Args:
        meter: The counts and figures of the task.
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
            # Without colors rich draws only the completed part.
            segments = list(console.render(bar, options))
            yield from Segment.adjust_line_length(segments, width)
        yield Text(elapsed, no_wrap=True)

    def _spinner(self, console: Console, options: ConsoleOptions) -> Text:
        frame = self._spinners[options.ascii_only].render(console.get_time())
        assert isinstance(frame, Text)
        return Text(frame.plain, style="green")

    def _parts(self, room: int) -> tuple[str, list[str]]:
        """Return the head and the figures that fit into `room` columns."""
        meter, figures = self._meter, self._meter.figures
        count = str(meter.done)
        if meter.total is not None:
            total = str(meter.total)
            count = f"{count:>{len(total)}}/{total}"
        short = f"{meter.description} {count}"
        for head in (f"{short} {meter.unit}", short):
            if _fits(room, head, figures):
                return head, figures
        kept = figures[:1]
        head = next((h for h in (short, count) if _fits(room, h, kept)), "")
        for figure in figures[1:]:
            if _fits(room, head, [*kept, figure]):
                kept.append(figure)
        return head, kept


def _fits(room: int, head: str, figures: list[str]) -> bool:
    return cell_len(_GAP.join([head, *figures])) <= room


class TerminalProgress:
    """Progress on a terminal: one line for each open task, inner tasks last.

    Args:
        console: The terminal.
        clock: Measures the tasks.
    """

    def __init__(self, console: Console, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._lines: list[Line] = []
        self._display = Live(
            self,
            console=console,
            refresh_per_second=10,
            transient=True,
            redirect_stdout=False,  # standard output carries data
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
        meter = Meter(description, total, unit, self._clock)
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
    _logged_s = 0.0

    def advance(self, amount: int = 1, **figures: str) -> None:
        """Count units, and log a line if the last one is long ago."""
        super().advance(amount, **figures)
        if self._last_s - max(self._logged_s, self._started_s) >= _LOG_EVERY_S:
            self._logged_s = self._last_s
            count = str(self.done)
            if self.total is not None:
                count += f" of {self.total}"
            head = f"{self.description}: {count} {self.unit}"
            _log.info("%s", ", ".join([head, *self.figures]))


class PlainProgress:
    """Progress as log lines, for files and for machines.

    Args:
        clock: Measures the tasks.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock

    @contextmanager
    def task(
        self, description: str, *, total: int | None = None, unit: str = "lines"
    ) -> Iterator[Task]:
        """Log a line every 30 seconds or more while the block runs."""
        yield _PlainTask(description, total, unit, self._clock)

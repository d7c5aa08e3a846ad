"""Progress lines at every width of a terminal, and in a log."""

import io
import logging

import pytest
from rich.console import Console

from s2scli.progress import PlainProgress, TerminalProgress, duration

FIGURES = {"loss": "5.217", "speed": "12,345 words/s", "epoch": "3.21"}
SHOWN = ["loss 5.217", "12,345 words/s", "epoch 3.21", "ETA 1:21:40"]


class Clock:
    """A clock that moves only when a test moves it."""

    now_s = 1000.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


def screen(width, encoding="utf-8"):
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    return Console(file=file, force_terminal=True, width=width, color_system=None)


def lines_of(shown, width, encoding="utf-8"):
    """Return the lines on a terminal."""
    console = screen(width, encoding)
    console.print(shown)
    console.file.flush()
    return console.file.buffer.getvalue().decode(encoding).splitlines()


def drawn(clock, width, *, total=50_000, encoding="utf-8"):
    """Draw a training with 1000 steps done, 10 a second."""
    shown = TerminalProgress(screen(width), clock)
    with shown.task("train", total=total, unit="steps") as task:
        task.advance(0)
        clock.now_s += 100
        task.advance(1000, **FIGURES)
        (line,) = lines_of(shown, width, encoding)
        return line


@pytest.mark.parametrize("width", range(40, 201))
def test_a_task_takes_one_line_with_its_loss_at_any_width(width, clock):
    shown = TerminalProgress(screen(width), clock)
    with shown.task("train", total=50_000, unit="steps") as task:
        task.advance(1000, **FIGURES)
        with shown.task("validate", total=12, unit="batches") as inner:
            inner.advance(7)
            lines = lines_of(shown, width)
    assert len(lines) == 2
    assert all(len(line) <= width for line in lines)
    assert "train  1000/50000" in lines[0]
    assert "loss 5.217" in lines[0]
    assert "validate  7/12" in lines[1]


def test_figures_are_in_order_of_importance(clock):
    line = drawn(clock, 80)
    assert line[2:] == (
        "train  1000/50000 steps  loss 5.217  12,345 words/s  epoch 3.21  ETA 1:21:40"
    )


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (40, SHOWN[:1]),
        (50, SHOWN[:2]),
        (64, SHOWN[:3]),
        (80, SHOWN),
    ],
)
def test_the_least_important_figure_is_left_out_first(width, shown, clock):
    line = drawn(clock, width)
    assert [figure for figure in SHOWN if figure in line] == shown


def test_a_bar_and_the_time_spent_fill_the_rest(clock):
    narrow, middle, wide = (drawn(clock, width, total=2000) for width in (80, 95, 200))
    assert "━" not in narrow
    assert "━" * 20 in wide  # half of 40
    assert "━" in middle
    assert "elapsed" not in middle
    assert "1000/2000 steps" in wide
    assert wide.endswith("elapsed 1:40")


def test_the_loss_is_shown_at_any_width(clock):
    assert drawn(clock, 14)[2:].strip() == "loss 5.217"


def test_a_terminal_without_unicode_gets_ascii(clock):
    assert drawn(clock, 120, encoding="ascii").isascii()


def test_a_task_of_unknown_length_shows_its_count(clock):
    line = drawn(clock, 80, total=None)
    assert "train 1000 steps  loss 5.217" in line
    assert "ETA" not in line


def test_the_time_left_ignores_steps_done_before_a_resume(clock):
    shown = TerminalProgress(screen(80), clock)
    with shown.task("train", total=2000, unit="steps") as task:
        task.advance(1000)
        clock.now_s += 10
        task.advance(10)
        assert "ETA 16:30" in lines_of(shown, 80)[0]
        clock.now_s += 0.6
        assert "ETA 16:29" in lines_of(shown, 80)[0]
        clock.now_s += 60  # a validation, such as this, is not a step of 1 s
        assert "ETA 16:29" in lines_of(shown, 80)[0]


def test_a_count_of_one_has_a_singular_unit(clock):
    shown = TerminalProgress(screen(80), clock)
    with shown.task("validate", total=1, unit="batches") as one:
        one.advance()
        assert "validate 1/1 batch " in lines_of(shown, 80)[0]
    with shown.task("translate") as open_end:
        open_end.advance()
        assert "translate 1 line " in lines_of(shown, 80)[0]
        open_end.advance()
        assert "translate 2 lines " in lines_of(shown, 80)[0]


def test_a_count_of_one_has_a_singular_unit_in_a_log(caplog, clock):
    caplog.set_level(logging.INFO)
    with PlainProgress(clock).task("binarize", total=1, unit="parts") as task:
        clock.now_s += 30
        task.advance()
    assert caplog.messages == ["binarize: 1 of 1 part"]


def test_prints_during_a_task_go_to_standard_output(capsys):
    with TerminalProgress(screen(80)).task("translate"):
        print("a translation")  # noqa: T201
    assert capsys.readouterr().out == "a translation\n"


def test_an_error_leaves_the_terminal_clean():
    shown = TerminalProgress(screen(80))
    with pytest.raises(ValueError, match="bad"), shown.task("train", total=3):
        raise ValueError("bad")
    assert lines_of(shown, 80) == []
    with shown.task("train", total=3):
        assert len(lines_of(shown, 80)) == 1


def test_a_log_has_the_same_figures_in_the_same_order(caplog, clock):
    caplog.set_level(logging.INFO)
    with PlainProgress(clock).task("train", total=2000, unit="steps") as task:
        task.advance(1000)
        clock.now_s += 29
        task.advance(28, **FIGURES)
        assert caplog.messages == []
        clock.now_s += 1
        task.advance(2)
    assert caplog.messages == [
        "train: 1030 of 2000 steps, loss 5.217, 12,345 words/s, epoch 3.21, ETA 16:10"
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0:00"),
        (59.9, "0:59"),
        (61, "1:01"),
        (3600, "1:00:00"),
        (86_399, "23:59:59"),
        (10 * 86_400 + 3 * 3600, "10d 03h"),
    ],
)
def test_durations_are_short(seconds, text):
    assert duration(seconds) == text

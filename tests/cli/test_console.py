import io
import logging

import pytest
from rich.console import Console

from s2scli import console
from s2scli.console import LogFormat, PlainProgress, TerminalProgress, configure


@pytest.fixture
def terminal(monkeypatch):
    """Standard error as a terminal."""
    screen = Console(file=io.StringIO(), force_terminal=True, width=120, no_color=True)
    monkeypatch.setattr(console, "stderr", screen)
    return screen.file


def test_a_terminal_gets_bars_with_figures(terminal):
    configure(quiet=False, verbose=False, log_format=LogFormat.TEXT)
    progress = console.progress()
    assert isinstance(progress, TerminalProgress)
    with progress.task("train", total=10, unit="steps") as task:
        task.advance(3)
        task.advance(1, loss="2.5", speed="900 words/s")
        with progress.task("validate", total=2, unit="batches") as inner:
            inner.advance()
        logging.getLogger("pipelines.test").info("an event")
    shown = terminal.getvalue()
    assert "train" in shown
    assert "4/10" in shown
    assert "loss 2.5" in shown
    assert "900 words/s" in shown
    assert "validate" in shown
    assert "an event" in shown


def test_elsewhere_there_are_lines_now_and_then(monkeypatch, caplog):
    monkeypatch.setattr(console, "_PLAIN_EVERY_S", 0.0)
    caplog.set_level(logging.INFO)
    with PlainProgress().task("train", total=4, unit="steps") as task:
        task.advance(1, loss="2.5")
    assert "train: 1 of 4 steps, ETA" in caplog.text
    assert "loss 2.5" in caplog.text


def test_quiet_shows_no_progress(terminal):
    configure(quiet=True, verbose=False, log_format=LogFormat.TEXT)
    with console.progress().task("train", total=1) as task:
        task.advance()
    assert terminal.getvalue() == ""


def test_verbose_tells_more(terminal):
    configure(quiet=False, verbose=True, log_format=LogFormat.TEXT)
    logging.getLogger("pipelines.test").debug("a detail")
    assert "a detail" in terminal.getvalue()

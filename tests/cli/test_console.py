import io
import logging
import os
import pty
import subprocess
import sys

import pytest
from rich.console import Console

from pipelines.progress import SilentProgress
from s2scli import console
from s2scli.console import LogFormat, configure_logging, print_table, show_error
from s2scli.progress import PlainProgress, TerminalProgress


def screen(width=120):
    return Console(
        file=io.StringIO(), force_terminal=True, width=width, color_system=None
    )


@pytest.fixture
def terminal(monkeypatch):
    """Standard error as a terminal."""
    monkeypatch.setattr(console, "stderr", screen())
    return console.stderr.file


@pytest.fixture
def narrow(monkeypatch):
    """Standard output and standard error as a terminal of 40 columns."""
    monkeypatch.setattr(console, "stderr", screen(40))
    monkeypatch.setattr(console, "stdout", screen(40))
    return console.stderr.file


def test_a_terminal_gets_bars_with_figures(terminal):
    configure_logging(quiet=False, verbose=False, log_format=LogFormat.TEXT)
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


def test_quiet_shows_no_progress(terminal):
    configure_logging(quiet=True, verbose=False, log_format=LogFormat.TEXT)
    assert isinstance(console.progress(), SilentProgress)
    with console.progress().task("train", total=1) as task:
        task.advance()
    assert terminal.getvalue() == ""


def test_verbose_shows_debugging_messages(terminal):
    configure_logging(quiet=False, verbose=True, log_format=LogFormat.TEXT)
    logging.getLogger("pipelines.test").debug("a detail")
    assert "a detail" in terminal.getvalue()


@pytest.mark.parametrize("variable", ["TERM", "log format"])
def test_a_dumb_terminal_and_a_json_log_get_progress_as_lines(
    terminal, monkeypatch, variable
):
    monkeypatch.setenv("TERM", "dumb" if variable == "TERM" else "xterm")
    log_format = LogFormat.TEXT if variable == "TERM" else LogFormat.JSON
    configure_logging(quiet=False, verbose=False, log_format=log_format)
    assert isinstance(console.progress(), PlainProgress)


def test_a_narrow_terminal_gets_log_lines_without_the_time(narrow):
    configure_logging(quiet=False, verbose=False, log_format=LogFormat.TEXT)
    logging.getLogger("pipelines.test").info("source vocabulary: 215 entries, 0 % new")
    assert narrow.getvalue().splitlines() == [
        "INFO     source vocabulary: 215 entries,",
        "         0 % new                        ",
    ]


def test_a_terminal_gets_errors_in_whole_words_and_whole_paths(narrow):
    path = "/a/path/of/more/than/forty/columns/that/one/copies.toml"
    show_error(f"{path} not found", "s2s init makes a project; -d names its folder")
    assert narrow.getvalue().splitlines() == [
        "error:",
        path,
        "not found",
        "hint: s2s init makes a project; -d names",
        "its folder",
    ]


def test_without_a_terminal_an_error_is_one_line(capsys):
    show_error("a long error " * 20, "")
    assert capsys.readouterr().err.count("\n") == 1


ROWS = [
    ("train", "stale", "model.cells: 256 -> 128; train.learning_rate: 0.003 -> 0.001"),
    ("translate", "missing", ""),
]


def test_a_narrow_table_has_its_last_column_below_each_row(narrow):
    print_table(("stage", "state", "why"), ROWS, to=console.stderr)
    assert [line.rstrip() for line in narrow.getvalue().splitlines()] == [
        "stage      state",
        "    why",
        "train      stale",
        "    model.cells: 256 -> 128;",
        "    train.learning_rate: 0.003 -> 0.001",
        "translate  missing",
    ]


def test_a_table_that_fits_stays_a_table(narrow):
    print_table(("parameters", "number"), [("all", "12")], to=console.stderr)
    assert narrow.getvalue().splitlines() == [
        "parameters  number",
        "all             12",
    ]


def test_comments_follow_their_lines_or_are_above_them(narrow, monkeypatch, capsys):
    lines = [("[train]", ""), ("seed = 1", "Seed of the initial weights. (default)")]
    console.print_commented(lines)
    assert capsys.readouterr().out.splitlines() == [
        "[train]",
        "# Seed of the initial weights. (default)",
        "seed = 1",
    ]
    monkeypatch.setattr(console, "stdout", screen(120))
    console.print_commented(lines)
    assert capsys.readouterr().out.splitlines() == [
        "[train]",
        f"{'seed = 1':43} # Seed of the initial weights. (default)",
    ]


COMMAND = [sys.executable, "-m", "s2scli"]


def size(**variables):
    unset = {"COLUMNS", "LINES", "TERMINAL_WIDTH"}
    return {k: v for k, v in os.environ.items() if k not in unset} | variables


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["--help"], ["status"], ["train", "--nope"]])
def test_a_width_of_zero_columns_counts_as_unset(s2s, finished, arguments):
    shown = [
        subprocess.run(
            [*COMMAND, *arguments],
            cwd=finished,
            env=size(**variables) | {"PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            stdin=subprocess.DEVNULL,
        )
        for variables in ({"COLUMNS": "0", "LINES": "0"}, {})
    ]
    assert shown[0].stdout == shown[1].stdout
    assert shown[0].stderr == shown[1].stderr
    assert len(shown[0].stdout + shown[0].stderr) > 60


def test_a_terminal_of_size_zero_is_one_of_80_columns(tmp_path):
    ours, theirs = pty.openpty()  # its size is 0 x 0
    with subprocess.Popen(
        [*COMMAND, "--help"],
        env=size(TERM="xterm", PYTHONPATH=os.pathsep.join(sys.path)),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ):
        os.close(theirs)
        text = b""
        try:
            while read := os.read(ours, 4096):
                text += read
        except OSError:  # Linux's end of file
            os.close(ours)
    lines = text.decode().splitlines()
    assert max(map(len, lines)) >= 80
    assert any("preprocess" in line for line in lines)

"""Messages and files after a stop: at a terminal, in a pipe, in a stage."""

import fcntl
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
import torch

from pipelines.search.translator import Translator

ROOT = Path(__file__).parents[2]
BY_SIGNAL = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]


class Terminal:
    """`s2s` in a pseudo-terminal of its own."""

    def __init__(self, *arguments):
        self._master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "s2scli", *map(str, arguments)],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)
        self.shown = ""

    def type(self, text):
        os.write(self._master, text.encode())

    def read(self, until=None):
        """Read until a text is shown, or to the end."""
        deadline = time.monotonic() + 60
        while until is None or until not in self.shown:
            assert time.monotonic() < deadline, self.shown
            if not select.select([self._master], [], [], 0.1)[0]:
                continue
            try:
                data = os.read(self._master, 4096)
            except OSError:  # the other side is closed
                return
            self.shown += data.decode().replace("\r", "")

    def end(self):
        status = self.process.wait(timeout=60)
        self.read()
        os.close(self._master)
        return status


@pytest.fixture
def conversation(project):
    """A translation at a terminal, after two answers."""
    terminal = Terminal("translate", "-m", project)
    terminal.read(until="type a sentence a line; Ctrl-D ends\n")
    assert terminal.shown == "type a sentence a line; Ctrl-D ends\n"
    for line, answer in (("a b", "A B"), ("c", "C")):
        terminal.type(line + "\n")
        terminal.read(until=f"{line}\n{answer}\n")
    yield terminal
    terminal.process.kill()
    terminal.process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("attempt", range(4))
def test_ctrl_c_at_a_terminal_ends_quietly(conversation, attempt):
    time.sleep(0.02 * attempt)
    conversation.type("half a li" * (attempt % 2) + "\x03")
    assert conversation.end() == 130
    assert conversation.shown.endswith("^Cstopped by SIGINT\n")
    assert "rror" not in conversation.shown


@pytest.mark.slow
def test_sigterm_at_a_terminal_ends_quietly(conversation):
    conversation.process.terminate()
    assert conversation.end() == 143
    assert conversation.shown.endswith("C\nstopped by SIGTERM\n")


@pytest.mark.slow
def test_ctrl_d_at_a_terminal_ends_the_text(conversation):
    conversation.type("d\n\x04")
    assert conversation.end() == 0
    assert conversation.shown.endswith("d\nD\n")


@pytest.mark.slow
@pytest.mark.parametrize(("number", "expected"), BY_SIGNAL)
def test_a_stopped_pipe_keeps_what_was_written(project, number, expected):
    command = [sys.executable, "-m", "s2scli", "translate", "-m", str(project)]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("a b\n")
        assert process.stdout.readline() == "A B\n"
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == expected
    name = signal.Signals(number).name
    assert err == f"stopped by {name}; nothing is kept beyond what was written\n"


@pytest.mark.parametrize(("number", "expected"), BY_SIGNAL)
@pytest.mark.parametrize(
    ("arguments", "kept"),
    [
        (["-i", "in"], "; nothing is kept beyond what was written"),
        (["-o", "out"], "; out was not written"),
        (["-i", "in", "-o", "out"], "; the same command resumes"),
        (["in", "-o", "out.gz"], "; the same command resumes"),
    ],
    ids=str,
)
def test_each_stopped_translation_says_what_is_kept(
    s2s, project, tmp_path, monkeypatch, arguments, kept, number, expected
):
    monkeypatch.chdir(tmp_path)
    Path("in").write_text("a\n")

    def stop(self, lines):
        signal.raise_signal(number)

    monkeypatch.setattr(Translator, "translate", stop)
    result = s2s("translate", "-m", project, *arguments, stdin=b"a\n")
    assert result.status == expected
    assert result.err == f"stopped by {signal.Signals(number).name}{kept}\n"


@pytest.mark.parametrize("command", ["preprocess", "run"])
def test_a_stopped_stage_says_that_the_finished_ones_are_kept(
    s2s, project, monkeypatch, command
):
    monkeypatch.setattr(
        "pipelines.preprocess.run", lambda *_, **__: signal.raise_signal(2)
    )
    shutil.rmtree(project / "preprocess")
    result = s2s(command, "-q", "-d", project)
    assert result.status == 130
    kept = "finished stages are kept; the same command resumes"
    assert result.err == f"stopped by SIGINT; {kept}\n"


def test_a_stop_outside_a_stage_promises_nothing(s2s, project, monkeypatch):
    monkeypatch.setattr(
        "pipelines.project.verify.verify", lambda *_, **__: signal.raise_signal(15)
    )
    result = s2s("verify", "-d", project)
    assert (result.status, result.err) == (143, "stopped by SIGTERM\n")


def test_a_stop_is_a_note_for_machines(s2s, project, monkeypatch):
    monkeypatch.setattr(
        Translator, "translate", lambda *_: signal.raise_signal(signal.SIGINT)
    )
    options = ["-m", project, "--log-format", "json", "-q"]
    result = s2s("translate", *options, stdin=b"a\n")
    assert result.status == 130
    assert result.err.startswith('{"level": "NOTE", "message": "stopped by SIGINT; ')


@pytest.mark.parametrize("then", ["continue", "fail"])
def test_a_stop_that_a_library_swallows_is_still_reported_as_a_stop(
    s2s, project, monkeypatch, then
):
    set_num_threads = torch.set_num_threads

    def swallow(num_threads):
        try:
            signal.raise_signal(signal.SIGINT)
        except Exception:  # noqa: BLE001 # as libraries do
            if then == "fail":
                raise ImportError("cannot load module") from None
            set_num_threads(num_threads)

    monkeypatch.setattr(torch, "set_num_threads", swallow)
    threads = ["--set", "translate.threads=1"]
    result = s2s("translate", "-m", project, *threads, stdin=b"a\n")
    assert (result.status, result.out) == (130, "")
    assert result.err == "stopped by SIGINT\n"
    monkeypatch.undo()
    assert s2s("verify", "-d", project).status == 0

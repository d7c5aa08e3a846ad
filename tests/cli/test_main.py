"""The error boundary of the program: exit statuses, storage errors, closed streams."""

import errno
import os
import subprocess
import sys

import pytest

from pipelines.errors import Interrupted
from s2scli import main
from s2scli.signals import handle_stop_signals


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["--version"], 0),
        (["status", "--help"], 0),
        (["frobnicate"], 2),
        (["init", "--recipe", "big"], 2),
        (["status"], 3),
    ],
)
def test_the_exit_status_says_what_failed(
    s2s, tmp_path, monkeypatch, arguments, status
):
    monkeypatch.chdir(tmp_path)
    assert s2s(*arguments).status == status


def test_the_version_is_that_of_the_package(s2s):
    from importlib.metadata import version

    assert s2s("--version").out == f"s2s {version('s2s')}\n"


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.ENOSPC, "hint: free some space and run the same command again"),
        (errno.EDQUOT, "hint: your disk quota is used up"),
        (errno.EROFS, "hint: the file system is read-only"),
        (errno.EACCES, "hint: check the permissions"),
        (errno.EISDIR, ""),
    ],
)
def test_an_operating_system_error_names_the_file_and_a_remedy(capsys, number, hint):
    error = OSError(number, os.strerror(number), "train/model")
    assert main._show_os_error(error) == 1
    message, *rest = capsys.readouterr().err.splitlines()
    assert message == f"error: train/model: {os.strerror(number)}"
    assert [line[: len(hint)] for line in rest] == [hint] * bool(hint)


@pytest.mark.parametrize(("number", "status"), [(2, 130), (15, 143)])
def test_a_stop_is_a_note_and_128_plus_the_signal(capsys, number, status):
    stop = Interrupted("stopped", hint="s2s train resumes", signal_number=number)
    try:
        assert main._show_stop(stop) == status
    finally:
        handle_stop_signals()
    assert capsys.readouterr().err == "stopped; s2s train resumes\n"


@pytest.mark.parametrize(
    ("redirection", "status", "message"),
    [
        (">&-", 2, "error: standard output is closed\n"),
        ("2>&-", 0, ""),
        ("<&-", 0, ""),
        (">/dev/full", 1, "error: No space left on device\n"),
    ],
)
def test_a_closed_or_full_stream_is_no_traceback(redirection, status, message):
    done = subprocess.run(
        ["bash", "-c", f'"{sys.executable}" -m s2scli --version {redirection}'],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status
    assert done.stderr.startswith(message)
    assert "Traceback" not in done.stderr

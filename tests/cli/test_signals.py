"""Signals: their hints, and what they do to a real training process."""

import contextlib
import shutil
import signal
import time

import pytest

from pipelines.errors import Interrupted
from s2scli.signals import (
    STOP_SIGNALS,
    handle_stop_signals,
    hint_if_stopped,
    received_stop,
)
from tests.cli.conftest import init_arguments, write_corpus
from tests.cli.train_process import (
    TrainProcess,
    assert_same,
    final_state,
    half_written,
    is_writing,
    newest_step,
)

SLOW_DISK = """
import os, time
from pipelines.artifacts import files
sync_tree, brake = files.sync_tree, {brake!r}
def slow_sync(folder):
    while os.path.exists(brake):
        time.sleep(0.1)
    sync_tree(folder)
files.sync_tree = slow_sync
"""
SLOW_STEPS = """
import os, time
from pipelines.trainer import train_step
clip_and_step, brake = train_step.clip_and_step, {brake!r}
def slow_step(*arguments, **options):
    while os.path.exists(brake):
        time.sleep(0.1)
    return clip_and_step(*arguments, **options)
train_step.clip_and_step = slow_step
"""


@pytest.fixture
def handlers():
    """Handlers of stop signals, which are restored."""
    before = [signal.getsignal(number) for number in STOP_SIGNALS]
    handle_stop_signals()
    yield
    handle_stop_signals()  # forgets what was received
    for number, handler in zip(STOP_SIGNALS, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_a_stop_carries_the_hint_of_the_innermost_block(handlers, number):
    assert received_stop() is None
    with hint_if_stopped("outer"):
        with hint_if_stopped("inner"):
            pass
        with (
            pytest.raises(Interrupted, match=f"stopped by {number.name}") as caught,
            hint_if_stopped("innermost"),
        ):
            signal.raise_signal(number)
    assert caught.value.hint == "innermost"
    assert caught.value.exit_status == 128 + number


def test_a_swallowed_stop_is_raised_by_the_next_block(handlers):
    with contextlib.suppress(Interrupted):
        signal.raise_signal(signal.SIGTERM)
    with pytest.raises(Interrupted, match="SIGTERM"), hint_if_stopped("never"):
        raise AssertionError("the block runs")


@pytest.fixture(scope="module")
def ready(tmp_path_factory):
    """A project that is ready to train, and the same one trained."""
    root = tmp_path_factory.mktemp("signals")
    data = write_corpus(root / "data")
    settings = ("train.threads=1", "train.checkpoint_every_steps=10")
    import sys

    from s2scli.main import main

    before = sys.argv
    for arguments in (
        init_arguments(data, root / "ready", *settings, "train.max_epochs=4"),
        ["binarize", "-q", "-d", root / "ready"],
    ):
        sys.argv = ["s2s", *map(str, arguments)]
        with pytest.raises(SystemExit) as caught:
            main()
        assert caught.value.code in (0, None)
    sys.argv = before
    shutil.copytree(root / "ready", root / "whole")
    status, said = TrainProcess(root / "whole").end()
    assert status == 0, said
    return root / "ready", final_state(root / "whole")


@pytest.fixture
def project(ready, tmp_path):
    shutil.copytree(ready[0], tmp_path / "project")
    return tmp_path / "project"


@pytest.fixture
def wanted(ready):
    return ready[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "expected"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)]
)
def test_a_signal_finishes_the_step_saves_and_ends(project, wanted, number, expected):
    process = TrainProcess(project)
    process.wait_until(lambda: newest_step(project), "there is a checkpoint")
    process.send(number)
    status, said = process.end()
    assert status == expected
    stopped = newest_step(project)
    assert f"stopped at step {stopped} of 200; everything is saved" in said
    assert "error" not in said
    assert said.endswith("s2s train resumes from there\n")
    assert TrainProcess(project).end()[0] == 0
    assert_same(final_state(project), wanted)


@pytest.mark.slow
@pytest.mark.parametrize("slow", [SLOW_DISK, SLOW_STEPS], ids=["disk", "steps"])
def test_a_second_signal_ends_at_once(s2s, project, wanted, tmp_path, slow):
    brake = tmp_path / "brake"
    process = TrainProcess(project, before=slow.format(brake=str(brake)))
    process.wait_until(lambda: newest_step(project) >= 20, "there are checkpoints")
    brake.touch()
    if slow == SLOW_DISK:
        process.wait_until(lambda: is_writing(project), "it writes a checkpoint")
    process.send(signal.SIGTERM)
    time.sleep(1)  # it is busy as long as the brake is there
    assert process.popen.poll() is None
    before = newest_step(project)
    process.send(signal.SIGTERM)
    status, said = process.end()
    brake.unlink()
    assert status == 143
    assert "stopped at once" in said
    assert newest_step(project) == before
    assert not half_written(project)
    assert s2s("verify", "-d", project).status == 0
    assert TrainProcess(project).end()[0] == 0
    assert_same(final_state(project), wanted)

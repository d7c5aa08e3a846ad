"""What a signal does to a real training process."""

import shutil
import signal
import time

import pytest

from tests.cli.conftest import init_arguments, write_corpus
from tests.cli.train_process import (
    TrainProcess,
    assert_same,
    final_state,
    half_written,
    is_writing,
    newest_step,
)

pytestmark = pytest.mark.slow

SLOW_DISK = """
import os, time
from pipelines.artifacts import files
sync_tree, brake = files.sync_tree, {brake!r}
def slow_sync(folder):
    time.sleep(60 * os.path.exists(brake))
    sync_tree(folder)
files.sync_tree = slow_sync
"""
SLOW_STEPS = """
import os, time
from pipelines.trainer import train_step
update, brake = learner.update, {brake!r}
def slow_update(*arguments, **options):
    time.sleep(60 * os.path.exists(brake))
    return update(*arguments, **options)
learner.update = slow_update
"""


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


@pytest.mark.parametrize("slow", [SLOW_DISK, SLOW_STEPS], ids=["disk", "steps"])
def test_a_second_signal_ends_at_once(s2s, project, wanted, tmp_path, slow):
    brake = tmp_path / "brake"
    process = TrainProcess(project, before=slow.format(brake=str(brake)))
    process.wait_until(lambda: newest_step(project) >= 20, "there are checkpoints")
    brake.touch()
    if slow == SLOW_DISK:
        process.wait_until(lambda: is_writing(project), "it writes a checkpoint")
    process.send(signal.SIGTERM)
    time.sleep(1)  # it is busy for a minute
    assert process.popen.poll() is None
    before = newest_step(project)
    asked = time.monotonic()
    process.send(signal.SIGTERM)
    status, said = process.end()
    assert time.monotonic() - asked < 10
    assert status == 143
    assert "stopped at once" in said
    assert newest_step(project) == before
    assert not half_written(project)
    assert s2s("verify", "-d", project).status == 0
    assert TrainProcess(project).end()[0] == 0
    assert_same(final_state(project), wanted)

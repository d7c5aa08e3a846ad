"""Training in a real process that is killed, and resumed by another process."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import torch

from pipelines.artifacts.checkpoint import (
    TensorBundle,
    read_best,
    read_model,
    read_trainer,
)
from pipelines.artifacts.checkpoint_folder import checkpoints, step_of

ROOT = Path(__file__).parents[2]
PLAIN = "from s2scli.main import main; main()"


class TrainProcess:
    """One process of `s2s train`.

    Args:
        project: Its folder.
        before: Python code to run first, such as to make something slow.
    """

    def __init__(self, project, *options, before=""):
        self.project = project
        self.popen = subprocess.Popen(
            [
                *(sys.executable, "-c", f"{before}\n{PLAIN}"),
                *("train", "-d", project, *options),
            ],
            cwd=ROOT,  # this very source, wherever s2s is installed
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_until(self, condition, what):
        deadline = time.monotonic() + 120
        while not condition():
            assert self.popen.poll() is None, self.popen.communicate()[1]
            assert time.monotonic() < deadline, f"waited in vain until {what}"
            time.sleep(0.0005)

    def send(self, number):
        self.popen.send_signal(number)

    def end(self, timeout_s=120):
        """Wait for the end; returns the exit status and standard error."""
        _, err = self.popen.communicate(timeout=timeout_s)
        return self.popen.returncode, err


def newest_step(project):
    paths = checkpoints(project / "train" / "checkpoints")
    return step_of(paths[-1]) if paths else 0


def half_written(project):
    """Checkpoints that are being written or deleted."""
    return list((project / "train" / "checkpoints").glob("step-*.tmp-*"))


def is_writing(project):
    newest = newest_step(project)
    return any(int(p.name[5:13]) > newest for p in half_written(project))


def kill_somewhere(project, generator):
    """Start training and kill it at a random moment; returns what it was doing."""
    before = newest_step(project)
    process = TrainProcess(project)
    while_writing, more = generator.random() < 0.5, generator.randint(0, 1)
    process.wait_until(
        lambda: newest_step(project) > before + 7 * more, "it has written a checkpoint"
    )
    if while_writing:
        process.wait_until(lambda: is_writing(project), "it writes a checkpoint")
        time.sleep(generator.uniform(0, 0.002))
    else:
        time.sleep(generator.uniform(0, 0.12))
    process.send(signal.SIGKILL)
    status, err = process.end()
    assert status == -signal.SIGKILL, err
    assert "training on" in err
    assert not (project / "train" / "manifest.json").exists()
    return interrupted_activity(project)


def interrupted_activity(project):
    newest = newest_step(project)
    if paths := half_written(project):
        step = int(paths[0].name[5:13])
        return "writing" if step > newest else "deleting"
    latest = project / "train" / "latest.json"
    if not latest.exists():  # killed before it pointed to its first one
        return "pointing"
    name = json.loads(latest.read_bytes())["checkpoint"]
    return "between" if name[5:] == f"{newest:08d}" else "pointing"


def survive(project, *, kills, generator):
    """Kill a training repeatedly, then let it end; counts what kills interrupted."""
    interrupted = Counter(kill_somewhere(project, generator) for _ in range(kills))
    status, err = TrainProcess(project).end()
    assert status == 0, err
    assert "resuming from step" in err
    return interrupted


def final_state(project):
    """All that a finished training has written, apart from times."""
    train = project / "train"
    newest = checkpoints(train / "checkpoints")[-1]
    state = {}
    for role, path in (("best", read_best(train)[0]), ("latest", newest)):
        state[role] = (path.name, read_model(path))
    trainer = read_trainer(newest)
    info = {key: x for key, x in trainer.info.items() if key != "elapsed_s"}
    state["trainer"] = (newest.name, TensorBundle(trainer.tensors, info))
    return state


def assert_same(actual, expected):
    assert actual.keys() == expected.keys()
    for role, (name, bundle) in expected.items():
        actual_name, actual_bundle = actual[role]
        assert actual_name == name
        assert actual_bundle.info == bundle.info
        assert actual_bundle.tensors.keys() == bundle.tensors.keys()
        for key, tensor in bundle.tensors.items():
            assert torch.equal(actual_bundle.tensors[key], tensor), (role, key)

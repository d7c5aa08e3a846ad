"""Distributed training, started as a user does."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from pipelines.artifacts.checkpoint import read_best, read_model
from tests.cli.conftest import init_arguments, write_corpus

pytestmark = pytest.mark.slow

SETTINGS = {
    "sgd": ("train.optimizer=sgd", "train.learning_rate=0.5"),
    "adam, tied": ("train.optimizer=adam", "model.tie_embeddings=true"),
}
COMMON = (
    "train.schedule=halving",
    "train.halve_after_epochs=1",
    "train.max_epochs=2",
    "train.validate_every_epochs=1",
    "train.precision=fp32",
    "train.loss_per=sentence",
    "model.layers=2",
    "model.cells=16",
)


def make_project(folder, *settings):
    """201 pairs in batches of 8: one batch has fewer pairs than processes."""
    counts = (("train", 201), ("valid", 21), ("test", 5))
    data = write_corpus(folder / "data", counts)
    demo = folder / "demo"
    run("init", *init_arguments(data, demo, *COMMON, *settings)[1:])
    run("binarize", "-d", demo)
    return demo


def start(*arguments, module=("s2scli",), **environment):
    command = [sys.executable, "-m", *module, *map(str, arguments)]
    return subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
    )


def run(*arguments, status=0, **options):
    process = start(*arguments, **options)
    _, err = process.communicate(timeout=120)
    assert process.returncode == status, err
    assert "Traceback" not in err
    return err


def train(folder, *arguments, **options):
    return run("train", "-d", folder, *arguments, **options)


def train_in_two(folder, *arguments, **options):
    return train(folder, "--num-gpus", 2, "--device", "cpu", *arguments, **options)


def weights(folder):
    return read_model(read_best(folder / "train")[0]).tensors


def metrics(folder):
    lines = (folder / "train" / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def assert_same_training(one, other):
    """Same losses and parameters, up to the order of float32 sums."""
    for a, b in zip(metrics(one), metrics(other), strict=True):
        for name in {"loss_nats_per_token", "gradient_norm", "perplexity"} & a.keys():
            assert a[name] == pytest.approx(b[name], rel=1e-4), name
    there = weights(other)
    for name, tensor in weights(one).items():
        torch.testing.assert_close(tensor, there[name], rtol=1e-3, atol=1e-5)


def wait_for_step(folder, step, process):
    deadline = time.monotonic() + 60
    checkpoints = folder / "train" / "checkpoints"
    while time.monotonic() < deadline:
        assert process.poll() is None, process.stderr.read()
        if (checkpoints / f"step-{step:08d}").exists():
            return
        time.sleep(0.02)
    pytest.fail(f"no checkpoint of step {step}")


@pytest.mark.parametrize("kind", SETTINGS)
def test_two_processes_train_the_same_model_as_one(tmp_path, kind):
    project = make_project(tmp_path, *SETTINGS[kind])
    train(project)
    alone = tmp_path / "alone"
    alone.mkdir()
    (project / "train").rename(alone / "train")
    err = train_in_two(project)
    assert "training on 2 x CPU" in err
    assert err.count("training on") == 1  # rank 0 alone logs
    assert_same_training(project, alone)


def test_torchrun_starts_the_same_training(tmp_path):
    project = make_project(tmp_path, *SETTINGS["sgd"])
    launcher = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    err = run("-m", "s2scli", "train", "-d", project, module=launcher)
    assert "training on 2 x CPU" in err
    assert (project / "train" / "manifest.json").exists()
    again = run("-m", "s2scli", "train", "-d", project, module=launcher)
    assert "train is up to date" in again


def test_a_stop_saves_and_one_process_resumes(tmp_path):
    project = make_project(tmp_path, *SETTINGS["sgd"], "train.checkpoint_every_steps=5")
    train(project)
    alone = tmp_path / "alone"
    alone.mkdir()
    (project / "train").rename(alone / "train")
    process = start("train", "-d", project, "--num-gpus", 2, "--device", "cpu")
    wait_for_step(project, 5, process)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert err.count("everything is saved") == 1
    assert not (project / "train" / "manifest.json").exists()
    assert "resuming from step" in train(project)
    there = weights(alone)
    for name, tensor in weights(project).items():
        torch.testing.assert_close(tensor, there[name], rtol=1e-3, atol=1e-5)


def test_a_killed_process_ends_the_training_which_can_be_resumed(tmp_path):
    project = make_project(tmp_path, *SETTINGS["sgd"], "train.checkpoint_every_steps=5")
    process = start("train", "-d", project, "--num-gpus", 2, "--device", "cpu")
    wait_for_step(project, 5, process)
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    children = [int(number) for number in listed.split()]
    assert len(children) == 2
    os.kill(children[1], signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1, err
    assert "process 2 of 2 was ended by SIGKILL" in err
    assert "Traceback" not in err
    for child in children:
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)
    assert "resuming from step" in train_in_two(project)


def test_packages_in_the_current_folder_do_not_shadow_the_installed_ones(tmp_path):
    project = make_project(tmp_path, "train.max_steps=1")
    for name in ("pipelines", "s2scli"):
        package = tmp_path / "cwd" / name
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("raise ImportError('not this one')")
    finished = subprocess.run(
        # -P, as for the installed `s2s`: the current folder is not on its path.
        [
            *(sys.executable, "-P", "-m", "s2scli", "train", "-d", str(project)),
            *("--num-gpus", "2", "--device", "cpu"),
        ],
        cwd=tmp_path / "cwd",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert "training on 2 x CPU" in finished.stderr


def test_a_failure_before_training_ends_all_processes(tmp_path):
    project = make_project(tmp_path)
    (project / "binarize" / "manifest.json").unlink()
    shard = next((project / "preprocess").glob("train.00000.src*"))
    shard.unlink()
    err = train_in_two(project, status=3)
    assert err.count("Error") <= 1


def test_more_processes_than_gpus_are_refused(tmp_path):
    project = make_project(tmp_path)
    err = train(project, "--num-gpus", 64, status=2)
    assert "--num-gpus 64" in err
    assert "--device cpu" in err

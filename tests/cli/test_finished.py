"""A finished training whose settings change: extended by a higher limit, or kept."""

import json

import pytest
import torch

from pipelines.artifacts.checkpoint import read_model
from pipelines.artifacts.checkpoint_folder import checkpoints
from pipelines.errors import Interrupted
from tests.cli.conftest import init_arguments, write_corpus
from tests.cli.test_fork import files, metrics, record

pytestmark = pytest.mark.slow


def states(s2s, project, *settings):
    found = json.loads(s2s("status", "-d", project, *settings, "--json").out)
    return {entry["stage"]: entry["state"] for entry in found}


@pytest.fixture
def constant(s2s, tmp_path):
    """A finished training of 2 epochs whose learning rate is constant."""
    data, demo = write_corpus(tmp_path / "data"), tmp_path / "demo"
    settings = ("train.schedule=constant", "train.max_epochs=2", "train.threads=1")
    s2s(*init_arguments(data, demo, *settings, "train.validate_every_epochs=1"))
    assert s2s("train", "-q", "-d", demo).status == 0
    return demo


@pytest.mark.parametrize("limit", ["max_epochs=3", "max_steps=101", "max_minutes=5"])
def test_a_higher_limit_extends_a_finished_training(s2s, constant, limit):
    if limit != "max_epochs=3":  # a limit can rise only where it was lower
        lower = "max_steps=100" if "steps" in limit else "max_minutes=4"
        s2s("train", "-q", "-d", constant, "--set", f"train.{lower}")
    longer = ["--set", f"train.{limit}"]
    if limit == "max_steps=101":
        longer += ["--set", "train.max_epochs=3"]
    found = s2s("train", "-d", constant, *longer)
    assert found.status == 0
    assert "extending the finished training from step 100 (train.max_" in found.err
    assert "schedule constant does not depend on the end" in found.err
    assert "resuming from step 100" in found.err
    assert states(s2s, constant, *longer)["train"] == "fresh"
    assert not list(constant.glob("train.*"))
    assert "forked_from" not in record(constant)


def test_an_extended_training_ends_as_a_longer_one(s2s, constant, tmp_path):
    longer = ("--set", "train.max_epochs=3")
    s2s("train", "-q", "-d", constant, *longer)
    extended = read_model(checkpoints(constant / "train" / "checkpoints")[-1]).tensors
    s2s("train", "-q", "-d", constant, "--force", *longer)
    straight = read_model(checkpoints(constant / "train" / "checkpoints")[-1]).tensors
    assert all(torch.equal(extended[name], straight[name]) for name in straight)


def test_a_cosine_schedule_is_computed_again_for_the_new_end(s2s, project):
    best = json.loads((project / "train" / "best.json").read_bytes())
    before = record(project)["run"]
    longer = ("--set", "train.max_epochs=17")
    found = s2s("train", "-d", project, *longer)
    assert found.status == 0
    assert "extending the finished training from step 800" in found.err
    assert "schedule cosine is computed for the new end" in found.err
    assert "resuming from step 800 of 850" in found.err
    assert record(project)["forked_from"] == {"run": before, "step": 800}
    rates = [x["learning_rate"] for x in metrics(project, "train") if x["step"] > 800]
    assert rates == sorted(rates, reverse=True)
    # the best model of the shorter training is still known
    kept = [path.name for path in checkpoints(project / "train" / "checkpoints")]
    assert best["checkpoint"] in kept
    assert states(s2s, project, *longer) == {
        "preprocess": "fresh",
        "binarize": "fresh",
        "train": "fresh",
        "translate": "stale",
        "score": "stale",
    }
    assert s2s("verify", "-d", project).status == 0


def test_the_cost_of_an_extension_is_that_of_the_remaining_updates(s2s, constant):
    assert s2s("train", "-d", constant, "--force").status == 0
    (constant / "train" / "manifest.json").unlink()
    found = s2s("train", "-d", constant)
    assert "train: 0 updates left after step 100, 2 epochs of 400 pairs" in found.err
    found = s2s("train", "-d", constant, "--set", "train.max_epochs=3")
    assert "train: 50 updates left after step 100, 3 epochs of 400 pairs" in found.err


def test_a_stop_while_the_cost_is_estimated_moves_no_training(
    s2s, project, monkeypatch
):
    def stop(*_args, **_options):
        raise Interrupted("stopped")

    monkeypatch.setattr("pipelines.estimate.cost.log_cost", stop)
    before = files(project)
    assert s2s("train", "-d", project, "--force").status == 130
    assert files(project) == before


def test_an_extension_that_was_stopped_is_resumed(s2s, project, monkeypatch):
    from pipelines.trainer.loop import Trainer

    longer = ("--set", "train.max_epochs=17")
    with monkeypatch.context() as patched:

        def die(_self):
            raise Interrupted

        patched.setattr(Trainer, "fit", die)
        assert s2s("train", "-d", project, *longer).status == 130
    origin = record(project)["forked_from"]
    found = s2s("train", "-d", project, *longer)
    assert found.status == 0
    assert "resuming from step 800 of 850" in found.err
    assert record(project)["forked_from"] == origin


@pytest.mark.parametrize(
    ("settings", "line", "may_fork"),
    [
        (["train.learning_rate=0.02"], "  train.learning_rate: 0.01 -> 0.02", False),
        (
            ["train.learning_rate=0.02", "train.max_epochs=17"],
            "  train.learning_rate: 0.01 -> 0.02",
            True,
        ),
        (["train.max_epochs=8"], "  train.max_epochs: 16.0 -> 8.0", False),
        (["train.max_steps=700"], "  train.max_steps: 0 -> 700", False),
        (["model.cells=32", "train.max_epochs=17"], "  model.cells: 48 -> 32", False),
        (["train.batch_size=4"], "  train.batch_size: 8 -> 4", True),
        (["preprocess.max_ratio=3"], "  preprocess.max_ratio: 9.0 -> 3.0", True),
    ],
    ids=str,
)
@pytest.mark.parametrize("command", ["train", "run", "score"])
def test_any_other_change_is_refused_with_the_choices_left(
    s2s, project, command, settings, line, may_fork
):
    before = files(project)
    sets = [option for text in settings for option in ("--set", text)]
    found = s2s(command, "-d", project, *sets)
    assert found.status == 2
    lines = found.err.splitlines()
    assert lines[0].endswith("a finished training of 800 steps with other settings:")
    assert line in lines
    assert "set them back, and s2s train keeps it" in lines[-1]
    assert ("s2s train --fork resumes from step 800" in lines[-1]) == may_fork
    assert "s2s train --force keeps that training aside" in lines[-1]
    assert files(project) == before


def test_a_limit_below_what_was_trained_is_refused_for_any_schedule(s2s, constant):
    before = files(constant)
    found = s2s("train", "-d", constant, "--set", "train.max_epochs=1")
    assert found.status == 2
    assert "  train.max_epochs: 2.0 -> 1.0" in found.err
    assert files(constant) == before


@pytest.mark.parametrize("setting", ["train.keep_last=3", "train.patience=9"])
def test_settings_that_end_no_training_may_change(s2s, constant, setting):
    change = ("--set", setting)
    assert s2s("train", "-d", constant, *change).status == 0
    assert states(s2s, constant, *change)["train"] == "fresh"

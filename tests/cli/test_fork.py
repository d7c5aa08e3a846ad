"""An unfinished training whose settings change: refused, or forked with --fork."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
import torch

from pipelines.artifacts.checkpoint import read_best, read_model, read_trainer
from pipelines.artifacts.checkpoint_folder import checkpoints
from pipelines.artifacts.layout import Layout
from pipelines.config import load
from pipelines.project.fork import find_fork, make_fork
from tests.cli.conftest import init_arguments, write_corpus

pytestmark = pytest.mark.slow

SETTINGS = (
    "train.schedule=constant",  # with which max_steps is a limit
    "train.threads=1",
    "model.dropout=0.1",
    "train.ema_decay=0.9",
    "train.max_epochs=2",
    "train.validate_every_epochs=0.5",
)
RATE = ("--set", "train.learning_rate=0.02")


@pytest.fixture(scope="module")
def stopped_once(tmp_path_factory):
    """A training of 100 steps that stopped at step 60: copy it."""
    from s2scli.main import main

    root = tmp_path_factory.mktemp("stopped")
    data = write_corpus(root / "data")
    before = sys.argv
    for arguments in (
        init_arguments(data, root / "project", *SETTINGS),
        ["train", "-q", "-d", root / "project", "--set", "train.max_steps=60"],
    ):
        sys.argv = ["s2s", *map(str, arguments)]
        with pytest.raises(SystemExit) as caught:
            main()
        assert caught.value.code in (0, None)
    sys.argv = before
    (root / "project" / "train" / "manifest.json").unlink()
    return root / "project"


@pytest.fixture
def stopped(stopped_once, tmp_path):
    shutil.copytree(stopped_once, tmp_path / "project")
    return tmp_path / "project"


def files(folder):
    return {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".s2s" not in path.parts
    }


def aside(project):
    (found,) = project.glob("train.aside-*")
    return found


def record(project):
    return json.loads((project / "train" / "run.json").read_bytes())


def metrics(project, kind):
    lines = (project / "train" / "metrics.jsonl").read_text().splitlines()
    return [x for x in map(json.loads, lines) if x["kind"] == kind]


@pytest.mark.parametrize(
    "command",
    [
        ["train"],
        ["run"],
        ["run", "--force"],
        ["translate", "--split", "test"],
        ["score"],
    ],
    ids=" ".join,
)
def test_changed_settings_stop_a_command_that_would_replace_a_training(
    s2s, stopped, command
):
    before = files(stopped)
    changed = (*RATE, "--set", "train.optimizer=sgd", "--set", "preprocess.max_ratio=3")
    found = s2s(*command, "-d", stopped, *changed)
    assert found.status == 2
    lines = found.err.splitlines()
    assert lines[0].endswith("stopped at step 60 and had other settings:")
    assert lines[1:-1] == [
        "  train.learning_rate: 0.01 -> 0.02",
        "  train.optimizer: 'adam' -> 'sgd'",
        "  preprocess.max_ratio: 9.0 -> 3.0",
    ]
    assert lines[-1].startswith("hint: set them back, and s2s train resumes it; ")
    assert "s2s train --fork resumes from step 60" in lines[-1]
    assert "s2s train --force keeps that training aside" in lines[-1]
    assert files(stopped) == before


def test_changed_text_is_named_too(s2s, stopped):
    with (stopped.parent / "project" / "s2s.toml").open() as file:
        data = re.search(r'"([^"]*train\.xx)"', file.read())
    assert data
    other = write_corpus(stopped.parent / "other", (("train", 50),))
    changed = f'data.train=["{other / "train.xx"}", "{other / "train.yy"}"]'
    found = s2s("train", "-d", stopped, "--set", changed)
    assert found.status == 2
    assert "  train.src changed\n" in found.err
    s2s("binarize", "-q", "-d", stopped, "--set", changed)
    found = s2s("train", "-d", stopped, "--set", changed)
    assert "  the training data changed\n" in found.err


def test_a_training_is_resumed_when_its_settings_return(s2s, stopped):
    assert s2s("train", "-d", stopped, *RATE).status == 2
    shown = s2s("status", "-d", stopped, *RATE).out
    assert "training has not ended; train.learning_rate: 0.01 -> 0.02" in " ".join(
        shown.split()
    )
    found = s2s("train", "-d", stopped)
    assert found.status == 0
    assert "resuming from step 60 of 100" in found.err
    assert not list(stopped.glob("train.*"))


def test_force_keeps_the_training_aside_and_starts_afresh(s2s, stopped):
    before = files(stopped / "train")
    found = s2s("train", "-d", stopped, "--force", *RATE)
    assert found.status == 0
    assert "resuming" not in found.err
    (kept,) = stopped.glob("train.kept-*")
    assert files(kept) == before


def test_a_fork_resumes_from_the_newest_checkpoint(s2s, stopped):
    before, run = files(stopped / "train"), record(stopped)["run"]
    found = s2s("train", "-d", stopped, "--fork", *RATE)
    assert found.status == 0
    assert f"forked from run {run} at step 60: train.learning_rate" in found.err
    assert "resuming from step 60 of 100" in found.err
    assert "the batches differ" not in found.err
    assert "optimizer was" not in found.err
    assert files(aside(stopped)) == before
    assert record(stopped)["forked_from"] == {"run": run, "step": 60}
    assert {x["learning_rate"] for x in metrics(stopped, "train")} == {0.02}
    assert [x["step"] for x in metrics(stopped, "valid")] == [75, 100]
    assert "up to date" in s2s("train", "-d", stopped, *RATE).err
    assert s2s("verify", "-d", stopped).status == 0
    assert s2s("translate", "-q", "-d", stopped, *RATE, stdin=b"a\n").status == 0


def test_a_fork_that_changes_no_update_ends_with_the_same_bits(s2s, stopped, tmp_path):
    shutil.copytree(stopped, tmp_path / "straight")
    s2s("train", "-q", "-d", tmp_path / "straight")
    changed = ("--set", "train.validate_every_epochs=1.0")
    s2s("train", "-q", "-d", stopped, "--fork", *changed)
    found, wanted = (
        checkpoints(folder / "train" / "checkpoints")[-1]
        for folder in (stopped, tmp_path / "straight")
    )
    assert found.name == wanted.name == "step-00000100"
    for read in (read_model, read_trainer):
        tensors = read(found).tensors
        assert tensors.keys() == read(wanted).tensors.keys()
        for name, tensor in read(wanted).tensors.items():
            assert torch.equal(tensors[name], tensor), name


def test_a_fork_with_other_batches_resumes_at_the_same_fraction_of_the_epoch(
    s2s, stopped
):
    changed = ("--set", "train.batch_size=20", "--set", "train.schedule=halving")
    ladder = (
        *("--set", "train.halve_after_epochs=1.5"),
        *("--set", "train.warmup_steps=0"),
    )
    found = s2s("train", "-d", stopped, "--fork", *changed, *ladder)
    assert found.status == 0
    # 60 of 50 steps an epoch are 24 of 20
    assert "the batches differ (train.batch_size)" in found.err
    assert "batch 5 of 20 of epoch 2" in found.err
    assert "resuming from step 60 of 76" in found.err
    assert [x["step"] for x in metrics(stopped, "valid")] == [66, 76]
    reports = metrics(stopped, "train")
    assert [(x["step"], x["epoch"]) for x in reports] == [
        (66, 1.5),
        (75, 1.95),
        (76, 2.0),
    ]
    assert [x["learning_rate"] for x in reports] == [0.01, 0.005, 0.005]


def test_a_fork_of_a_stopped_fork_resumes_with_its_own_batches(s2s, stopped):
    fork = ("--set", "train.batch_size=20")
    s2s("train", "-q", "-d", stopped, "--fork", *fork, "--set", "train.max_steps=70")
    first = record(stopped)["run"]
    found = s2s("train", "-d", stopped, *fork)
    assert "resuming from step 70 of 76" in found.err
    assert record(stopped)["forked_from"]["step"] == 60
    again = ("--set", "train.batch_size=40", "--set", "train.max_epochs=3")
    found = s2s("train", "-d", stopped, "--fork", *again)
    assert "resuming from step 76 of 86" in found.err
    assert record(stopped)["forked_from"] == {"run": first, "step": 76}


def test_another_optimizer_starts_without_the_state_of_the_first(s2s, stopped):
    found = s2s("train", "-d", stopped, "--fork", "--set", "train.optimizer=adamw")
    assert found.status == 0
    assert "the optimizer was adam and is adamw: its state is dropped" in found.err
    newest = checkpoints(stopped / "train" / "checkpoints")[-1]
    assert read_trainer(newest).tensors["optimizer.0.step"] == 40


@pytest.mark.parametrize(("before", "now"), [("0.9", "0"), ("0", "0.9")])
def test_a_fork_can_stop_or_start_averaging_the_weights(
    s2s, stopped, tmp_path, before, now
):
    project = stopped
    if before == "0":
        off = ("--set", "train.ema_decay=0")
        s2s("train", "-q", "-d", project, "--force", *off)
    parent = checkpoints(project / "train" / "checkpoints")[-1]
    raw = {
        name.removeprefix("raw."): tensor
        for name, tensor in read_trainer(parent).tensors.items()
        if name.startswith("raw.")
    } or read_model(parent).tensors
    more = ("--set", "train.max_epochs=3", "--set", "train.keep_last=50")
    found = s2s(
        *("train", "-d", project, "--fork", *more, "--set", f"train.ema_decay={now}")
    )
    assert found.status == 0
    first = checkpoints(project / "train" / "checkpoints")[0]
    assert first.name == parent.name
    tensors = read_model(first).tensors
    assert all(torch.equal(tensors[name], raw[name]) for name in raw)
    has_raw = any(x.startswith("raw.") for x in read_trainer(first).tensors)
    assert has_raw == (now != "0")


def test_a_finished_training_can_be_forked(s2s, project):
    longer = ("--set", "train.max_epochs=17")
    found = s2s("train", "-d", project, "--fork", *longer)
    assert found.status == 0
    assert "resuming from step 800 of 850" in found.err
    assert (aside(project) / "manifest.json").exists()
    stages = json.loads(s2s("status", "-d", project, *longer, "--json").out)
    stale = {x["stage"]: x["why"] for x in stages if x["state"] == "stale"}
    assert stale["translate"] == "train changed"


def test_a_fork_and_a_training_from_step_0_have_other_fingerprints(s2s, project):
    longer = ("--set", "train.max_epochs=17", "--set", "train.max_steps=801")
    s2s("train", "-q", "-d", project, "--force", *longer)
    s2s("score", "-q", "-d", project, *longer)
    (finished,) = project.glob("train.kept-*")
    (project / "train").rename(project / "elsewhere")
    finished.rename(project / "train")
    s2s("train", "-q", "-d", project, "--fork", *longer)
    stages = json.loads(s2s("status", "-d", project, *longer, "--json").out)
    assert {x["stage"]: x["state"] for x in stages}["translate"] == "stale"


def test_settings_that_a_fork_may_not_change_are_named(s2s, stopped):
    before = files(stopped)
    shapes = ("model.cells=32", "model.peepholes=true", "model.dropout=0.3")
    sets = [option for text in shapes for option in ("--set", text)]
    found = s2s("train", "-d", stopped, "--fork", *sets)
    assert found.status == 2
    assert found.err.splitlines()[:-1] == [
        "error: --fork: the weights of step-00000060 have other shapes:",
        "  model.cells: 48 -> 32",
        "  model.peepholes: False -> True",
    ]
    assert files(stopped) == before


def test_a_fork_needs_the_same_vocabularies(s2s, stopped):
    before = files(stopped / "train")
    fewer = ("--set", "preprocess.target_vocab_size=6")
    found = s2s("train", "-d", stopped, "--fork", *fewer)
    assert found.status == 2
    assert "  target vocabulary: 9 -> 6 entries\n" in found.err
    assert "    preprocess.target_vocab_size: 20000 -> 6\n" in found.err
    assert "source vocabulary: 9 -> " not in found.err
    assert files(stopped / "train") == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "with these very settings"),
        (("--set", "train.patience=9"), "with these very settings"),
        (("--force", *RATE), "leave one out"),
        (("--set", "train.max_epochs=1", *RATE), "nothing is left to train"),
        (("--set", "train.max_steps=60", *RATE), "nothing is left to train"),
    ],
)
def test_a_fork_that_would_do_nothing_is_refused(s2s, stopped, options, said):
    before = files(stopped)
    found = s2s("train", "-d", stopped, "--fork", *options)
    assert found.status == 2
    assert said in " ".join(found.err.split())
    assert files(stopped) == before


def test_a_fork_without_a_checkpoint_is_refused(s2s, stopped):
    shutil.rmtree(stopped / "train")
    found = s2s("train", "-d", stopped, "--fork", *RATE)
    assert found.status == 2
    assert "holds no checkpoint to resume from" in found.err


def test_a_training_moved_aside_is_resumed_in_place_of_an_unfinished_one(s2s, stopped):
    s2s("train", "-q", "-d", stopped, "--fork", *RATE)
    (stopped / "train" / "manifest.json").unlink()
    found = s2s("train", "-d", stopped)
    assert "resuming train.aside-" in found.err
    assert "resuming from step 60" in found.err
    assert "resuming train.aside-" in s2s("train", "-d", stopped, *RATE).err
    assert "forked_from" in record(stopped)


def test_a_fork_that_was_killed_is_completed(s2s, stopped, monkeypatch):
    config = load(stopped, overrides=["train.learning_rate=0.02"]).config
    layout = Layout(stopped)
    rename = Path.rename

    def die_before_moving_the_parent(path, target):
        if path == layout.train:
            raise KeyboardInterrupt
        return rename(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", die_before_moving_the_parent)
        with pytest.raises(KeyboardInterrupt):
            make_fork(find_fork(config, layout), config, layout)
    found = s2s("train", "-d", stopped, *RATE)
    assert "the earlier training is kept as train.aside-" in found.err
    assert "resuming from step 60 of 100" in found.err
    assert record(stopped)["forked_from"]["step"] == 60


def test_an_earlier_training_with_the_settings_of_the_fork_is_kept(s2s, stopped):
    s2s("train", "-q", "-d", stopped, "--force", *RATE)  # from zero
    (kept,) = stopped.glob("train.kept-*")
    (stopped / "train").rename(stopped / f"train.aside-{record(stopped)['run']}")
    kept.rename(stopped / "train")
    assert s2s("train", "-d", stopped, "--fork", *RATE).status == 0
    assert len(list(stopped.glob("train.kept-*"))) == 1


@pytest.mark.parametrize("options", [(), RATE, ("--fork", *RATE)])
def test_checkpoints_of_an_unknown_run_are_left_alone(s2s, stopped, options):
    (stopped / "train" / "run.json").write_text("{")
    found = s2s("train", "-d", stopped, *options)
    assert found.status == 3
    assert "run.json is missing or damaged" in found.err
    assert "s2s train --force" in found.err
    assert s2s("train", "-d", stopped, "--force").status == 0
    assert list(stopped.glob("train.kept-unknown"))


@pytest.mark.parametrize("options", [(), ("--fork", *RATE)])
def test_training_does_not_start_at_step_0_over_damaged_checkpoints(
    s2s, stopped, options
):
    for path in checkpoints(stopped / "train" / "checkpoints"):
        (path / "model.safetensors").write_bytes(b"")
    found = s2s("train", "-d", stopped, *options)
    assert found.status == 3
    assert "holds no sound checkpoint to resume from" in found.err


def test_tensorboard_events_are_written_when_asked_for(s2s, stopped):
    pytest.importorskip("tensorboard")
    found = s2s("train", "-d", stopped, "--tensorboard")
    assert found.status == 0
    assert list((stopped / "train" / "tensorboard").glob("events.*"))
    assert read_best(stopped / "train")[0].is_dir()


def test_missing_tensorboard_is_an_error(s2s, stopped, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    found = s2s("train", "-d", stopped, "--tensorboard")
    assert found.status == 2
    assert "TensorBoard is not installed" in found.err
    assert "pip install 's2s[tensorboard]'" in found.err

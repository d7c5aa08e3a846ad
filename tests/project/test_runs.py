import json
from dataclasses import replace

import pytest
import torch

from pipelines.artifacts.checkpoint import TensorBundle, write_checkpoint
from pipelines.artifacts.manifest import Manifest, write_manifest
from pipelines.artifacts.run_record import ForkedFrom, read_record
from pipelines.errors import ConfigError, CorruptArtifactError
from pipelines.project.runs import (
    claim,
    move_run,
    replace_runs,
    require_claimable,
    resumed_state,
    run_in,
)
from pipelines.project.stages import wanted_run
from pipelines.project.status import changes_since_training, run_changes
from pipelines.trainer.train_state import TrainState
from tests.project.conftest import complete, settings

CONSTANT = ("train.schedule=constant", "train.max_epochs=2")
RATE = (*CONSTANT, "train.learning_rate=0.5")


@pytest.fixture
def stopped(layout):
    """A training of 10 steps an epoch that stopped at step 15."""
    complete(layout, "preprocess", "binarize")
    train(layout, 15)
    return layout


def train(layout, step, overrides=CONSTANT, **state):
    """Claim `train/` and write the checkpoint of a step."""
    key = claim(settings(layout, *overrides), layout)
    text = layout.root / "text"
    text.mkdir(exist_ok=True)
    info = TrainState(step=step, steps_per_epoch=10, **state).to_info()
    bundle = TensorBundle({"w": torch.ones(1)}, {})
    write_checkpoint(
        layout.train / "checkpoints",
        step,
        model=bundle,
        trainer=replace(bundle, info=info),
        text=text,
        run=key,
    )
    return key


def record_of(layout):
    record = read_record(layout.train)
    assert record is not None
    return record


def step_to_resume(layout, *overrides):
    state = resumed_state(settings(layout, *overrides), layout)
    return None if state is None else state.step


def finish(layout):
    write_manifest(layout.train, Manifest("train", "f", {}, {}, {}))


def refusal(layout, *overrides):
    with pytest.raises(ConfigError) as caught:
        require_claimable(settings(layout, *overrides), layout)
    return caught.value


def test_an_empty_folder_is_claimed(layout):
    config = settings(layout)
    assert run_in(layout.train) is None
    assert step_to_resume(layout) is None
    key = claim(config, layout)
    assert run_in(layout.train) == key == wanted_run(config, layout).key
    assert record_of(layout) == wanted_run(config, layout)
    assert (layout.train / "checkpoints").is_dir()


def test_claiming_again_changes_only_limits_and_removes_leftovers(stopped):
    key = run_in(stopped.train)
    (stopped.train / "best.json.tmp-99999999").write_text("")
    assert claim(settings(stopped, *CONSTANT, "train.patience=7"), stopped) == key
    assert not list(stopped.train.glob("*.tmp-*"))
    assert record_of(stopped).settings["train.patience"] == 7


def test_the_state_to_resume_is_that_of_the_newest_readable_checkpoint(stopped):
    config = settings(stopped, *CONSTANT)
    train(stopped, 18)
    assert step_to_resume(stopped, *CONSTANT) == 18
    newest = stopped.train / "checkpoints" / "step-00000018" / "trainer.json"
    newest.write_text("{")
    assert step_to_resume(stopped, *CONSTANT) == 15
    (newest.parents[1] / "step-00000015" / "trainer.json").unlink()
    assert resumed_state(config, stopped) == TrainState(step=18)


def test_a_stopped_training_with_other_settings_is_not_replaced(stopped):
    error = refusal(stopped, *RATE)
    assert error.message == (
        f"{stopped.train} holds a training that stopped at step 15 and had other "
        "settings:\n  train.learning_rate: 0.002 -> 0.5"
    )
    assert error.hint == (
        "set them back, and s2s train resumes it; s2s train --fork resumes from step "
        "15 with the new ones; s2s train --force keeps that training aside and starts "
        "afresh"
    )
    with pytest.raises(ConfigError):
        claim(settings(stopped, *RATE), stopped)


@pytest.mark.parametrize(
    ("change", "step", "may_fork"),
    [
        ("model.cells=3", 15, False),
        ("model.dropout=0.35", 15, True),
        ("model.dropout=0.35", 20, False),  # no update is left
        ("train.batch_size=4", 20, True),  # in other batches some may be
    ],
)
def test_a_fork_is_offered_where_the_weights_fit_and_updates_are_left(
    stopped, change, step, may_fork
):
    train(stopped, step)
    assert ("--fork" in refusal(stopped, *CONSTANT, change).hint) == may_fork


def test_a_finished_training_is_extended_when_a_limit_rises(stopped, caplog):
    caplog.set_level("INFO")
    finish(stopped)
    longer = settings(stopped, "train.schedule=constant", "train.max_epochs=3")
    claim(longer, stopped)
    assert "extending the finished training from step 15 (train.max_epochs" in (
        caplog.text
    )
    assert record_of(stopped).forked_from is None
    assert not (stopped.train / "manifest.json").exists()


def test_an_extended_cosine_training_names_the_shorter_one(layout):
    complete(layout, "preprocess", "binarize")
    cosine = ("train.schedule=cosine", "train.max_epochs=2")
    key = train(layout, 20, cosine)
    finish(layout)
    longer = settings(layout, "train.schedule=cosine", "train.max_epochs=3")
    assert claim(longer, layout) != key
    assert record_of(layout).forked_from == ForkedFrom(key, 20)


@pytest.mark.parametrize("limit", ["max_epochs=1", "max_steps=14", "max_minutes=1"])
def test_a_limit_below_what_was_trained_is_refused(stopped, limit):
    train(stopped, 16, elapsed_s=61.0)
    finish(stopped)
    error = refusal(stopped, *CONSTANT, f"train.{limit}")
    assert "a finished training of 16 steps with other settings" in error.message
    assert "s2s train keeps it" in error.hint


@pytest.mark.parametrize("call", [claim, require_claimable])
def test_checkpoints_of_an_unknown_run_are_not_touched(stopped, call):
    (stopped.train / "run.json").write_text("{")
    assert run_in(stopped.train) == "unknown"
    with pytest.raises(CorruptArtifactError, match=r"run\.json is missing or damaged"):
        call(settings(stopped, *CONSTANT), stopped)


def test_a_training_moved_aside_is_resumed_when_its_settings_return(stopped):
    key = run_in(stopped.train)
    move_run(stopped.train, stopped.train_aside(key))
    other = train(stopped, 5, RATE)
    assert step_to_resume(stopped, *CONSTANT) == 15
    assert claim(settings(stopped, *CONSTANT), stopped) == key
    assert run_in(stopped.train_aside(other)) == other
    assert step_to_resume(stopped, *CONSTANT) == 15


def test_starting_afresh_keeps_the_present_training_and_the_one_aside(stopped):
    key = run_in(stopped.train)
    move_run(stopped.train, stopped.train_aside(key))
    other = train(stopped, 5, RATE)
    replace_runs(settings(stopped, *CONSTANT), stopped)
    assert not stopped.train.exists()
    assert run_in(stopped.train_kept(key)) == key
    assert run_in(stopped.train_kept(other)) == other


def test_a_taken_name_gets_a_number(tmp_path):
    for number in range(3):
        (tmp_path / "train").mkdir()
        (tmp_path / "train" / str(number)).touch()
        move_run(tmp_path / "train", tmp_path / "kept")
    kept = sorted(f"{path.parent.name}/{path.name}" for path in tmp_path.glob("*/*"))
    assert kept == ["kept-2/1", "kept-3/2", "kept/0"]


def test_changed_text_settings_are_named_in_place_of_the_shards(stopped):
    record = record_of(stopped)
    changed = settings(stopped, *RATE, "preprocess.max_ratio=3")
    assert run_changes(record, changed, stopped) == [
        "train.learning_rate: 0.002 -> 0.5",
        "preprocess.max_ratio: 9.0 -> 3.0",
    ]
    for stage in ("preprocess", "binarize"):  # nobody knows what they were made with
        (stopped.stage(stage) / "manifest.json").unlink()
    assert run_changes(record, changed, stopped) == [
        "train.learning_rate: 0.002 -> 0.5",
        "the training data changed",
    ]


def test_changes_since_training_need_no_text(stopped):
    (stopped.root / "train.en").unlink()
    changed = settings(stopped, *RATE, "preprocess.max_ratio=3", "train.patience=4")
    assert changes_since_training(changed, stopped) == [
        "preprocess.max_ratio: 9.0 -> 3.0",
        "train.learning_rate: 0.002 -> 0.5",
    ]
    content = json.loads((stopped.train / "run.json").read_bytes())
    content["inputs"]["binarize"] = "other"
    (stopped.train / "run.json").write_text(json.dumps(content))
    same = settings(stopped, *CONSTANT)
    assert changes_since_training(same, stopped) == ["the training data changed"]

import shutil

import pytest
import torch

from pipelines import binarize, preprocess, train
from pipelines.artifacts.checkpoint import read_model, read_trainer
from pipelines.artifacts.checkpoint_folder import checkpoints, read_pointer
from pipelines.artifacts.layout import Layout
from pipelines.artifacts.manifest import read_manifest
from pipelines.artifacts.run_record import ForkedFrom, read_record
from pipelines.config import ModelConfig, TrainConfig
from pipelines.errors import ConfigError, CorruptArtifactError, UsageError
from pipelines.project.fork import find_fork, make_fork
from pipelines.project.runs import run_in
from pipelines.project.stages import wanted_run
from pipelines.trainer.train_state import TrainState
from tests.small_corpus import make_project

MODEL = ModelConfig(layers=1, cells=4, embedding_size=4, tie_embeddings=False)
TRAIN = TrainConfig(
    optimizer="adam",
    schedule="constant",
    ema_decay=0.9,
    batch_size=4,
    max_epochs=2,
    threads=1,
    precision="fp32",
)


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory):
    """A training of two epochs of three steps: copy it."""
    config, layout = make_project(tmp_path_factory.mktemp("trained"), min_count=1)
    config = config.model_copy(update={"model": MODEL, "train": TRAIN})
    for stage in (preprocess, binarize, train):
        stage.run(config, layout)
    return config, layout


@pytest.fixture
def trained(trained_once, tmp_path):
    config, layout = trained_once
    shutil.copytree(layout.root, tmp_path / "project")
    return config, Layout(tmp_path / "project")


def changed(config, section="train", **settings):
    values = getattr(config, section).model_copy(update=settings)
    return config.model_copy(update={section: values})


def fork(config, layout):
    """Make the fork; returns its only checkpoint."""
    make_fork(find_fork(config, layout), config, layout)
    (path,) = checkpoints(layout.train / "checkpoints")
    return path


def state_in(path):
    return TrainState.from_info(read_trainer(path).info)


def test_a_fork_is_one_checkpoint_of_a_new_run(trained):
    config, layout = trained
    parent_run = run_in(layout.train)
    (parent,) = checkpoints(layout.train / "checkpoints")[-1:]
    weights, state = read_model(parent).tensors, read_trainer(parent)
    longer = changed(config, learning_rate=0.5, max_epochs=4)
    path = fork(longer, layout)
    record = read_record(layout.train)
    assert record is not None
    assert record.forked_from == ForkedFrom(str(parent_run), 6)
    assert record.key == wanted_run(longer, layout).key != parent_run
    assert read_manifest(path).fingerprint == record.key
    assert read_pointer(layout.train / "latest.json") == path
    assert run_in(layout.train_aside(parent_run)) == parent_run
    assert path.name == parent.name == "step-00000006"
    for name, tensor in read_model(path).tensors.items():
        assert torch.equal(tensor, weights[name]), name
    assert read_trainer(path).tensors.keys() == state.tensors.keys()


def test_a_fork_has_measured_nothing_yet(trained):
    config, layout = trained
    path = fork(changed(config, max_epochs=4, learning_rate=0.5), layout)
    assert state_in(path) == TrainState(step=6, epoch=2, steps_per_epoch=3)
    assert read_model(path).info["validation"] is None


def test_other_batches_keep_the_fraction_of_the_epoch(trained, caplog):
    caplog.set_level("INFO")
    config, layout = trained
    path = fork(changed(config, max_epochs=4, batch_size=2), layout)
    # six steps of batches of 4 see what twelve of batches of 2 do
    assert state_in(path) == TrainState(step=6, epoch=2, steps_per_epoch=6, ahead=6)
    assert "the batches differ (train.batch_size)" in caplog.text


def test_another_optimizer_starts_without_state(trained, caplog):
    caplog.set_level("INFO")
    config, layout = trained
    path = fork(changed(config, max_epochs=4, optimizer="sgd"), layout)
    assert {name.split(".")[0] for name in read_trainer(path).tensors} == {"raw"}
    assert "the optimizer was adam and is sgd: its state is dropped" in caplog.text


def test_without_averaging_the_raw_weights_translate(trained):
    config, layout = trained
    (parent,) = checkpoints(layout.train / "checkpoints")[-1:]
    state = read_trainer(parent).tensors
    path = fork(changed(config, max_epochs=4, ema_decay=0.0), layout)
    for name, tensor in read_model(path).tensors.items():
        assert torch.equal(tensor, state[f"raw.{name}"]), name
    assert not any(name.startswith("raw.") for name in read_trainer(path).tensors)


def test_a_run_that_waits_under_the_same_settings_is_kept(trained):
    config, layout = trained
    longer = changed(config, max_epochs=4, learning_rate=0.5)
    key = wanted_run(longer, layout).key
    shutil.copytree(layout.train, layout.train_aside(key))
    fork(longer, layout)
    assert layout.train_kept(key).is_dir()


def refusal(error, config, layout):
    before = run_in(layout.train), read_record(layout.train)
    with pytest.raises(error) as caught:
        fork(config, layout)
    assert (run_in(layout.train), read_record(layout.train)) == before
    assert not list(layout.root.glob("train.*-*"))
    return caught.value


def test_unchanged_settings_are_refused(trained):
    config, layout = trained
    error = refusal(UsageError, changed(config, patience=3), layout)
    assert "holds a training with these very settings" in error.message
    assert error.hint == "s2s train resumes it"


def test_other_shapes_are_refused_by_name(trained):
    config, layout = trained
    error = refusal(ConfigError, changed(config, "model", cells=6, dropout=0.1), layout)
    assert error.message.splitlines()[1:] == ["  model.cells: 4 -> 6"]


def test_other_vocabularies_are_refused_with_their_cause(trained):
    config, layout = trained
    fewer = changed(config, "preprocess", source_vocab_size=5)
    found = find_fork(fewer, layout)  # before the stages run again
    for stage in (preprocess, binarize):
        stage.run(fewer, layout)
    with pytest.raises(ConfigError) as caught:
        make_fork(found, fewer, layout)
    assert caught.value.message.splitlines()[1:] == [
        "  source vocabulary: 20 -> 5 entries",
        "  by",
        "    preprocess.source_vocab_size: 160000 -> 5",
    ]
    assert not list(layout.root.glob("train.*-*"))


def test_a_fork_without_updates_to_make_is_refused(trained):
    config, layout = trained
    error = refusal(ConfigError, changed(config, learning_rate=0.5), layout)
    assert "nothing is left to train: step 6 is at epoch 2.00" in error.message


def test_without_a_checkpoint_there_is_nothing_to_fork(trained):
    config, layout = trained
    shutil.rmtree(layout.train / "checkpoints")
    error = refusal(UsageError, changed(config, learning_rate=0.5), layout)
    assert "holds no checkpoint to resume from" in error.message


def test_checkpoints_of_an_unknown_run_are_not_forked(trained):
    config, layout = trained
    (layout.train / "run.json").unlink()
    error = refusal(CorruptArtifactError, changed(config, max_epochs=4), layout)
    assert "run.json is missing or damaged" in error.message

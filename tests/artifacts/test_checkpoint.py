import json
import os
import shutil

import pytest
import torch

from pipelines.artifacts.checkpoint import (
    TensorBundle,
    read_best,
    read_model,
    read_trainer,
    write_average,
    write_checkpoint,
)
from pipelines.artifacts.checkpoint_folder import (
    checkpoints,
    point_to,
)
from pipelines.artifacts.layout import BEST
from pipelines.errors import CorruptArtifactError, MissingArtifactError
from tests.artifacts.conftest import flip


def test_a_checkpoint_reads_as_it_was_written(train):
    path = train / "checkpoints" / "step-00000020"
    model = read_model(path)
    assert model.info == {"step": 20}
    assert torch.equal(model.tensors["w"], torch.full((2, 3), 20.0))
    assert read_trainer(path).info == {"epoch": 1}
    assert (path / "text" / "pipeline.json").read_text() == "{}"


def test_nothing_is_pickled(train):
    suffixes = {p.suffix for p in train.rglob("*") if p.is_file()}
    assert suffixes == {".json", ".safetensors"}


def test_an_average_holds_no_state_to_resume_from(train):
    path = train / "checkpoints" / "step-00000040"
    model = TensorBundle({"w": torch.ones(2)}, {"step": 40})
    text = train.parent / "text"
    manifest = write_average(path, model, text=text, run="run", counts={"step": 40})
    assert set(manifest.outputs) == {
        "model.json",
        "model.safetensors",
        "text/pipeline.json",
    }
    assert read_model(path).info == {"step": 40}
    with pytest.raises(MissingArtifactError, match="an average") as caught:
        read_trainer(path)
    assert "move step-00000040 out of" in caught.value.hint


def test_the_best_checkpoint_is_the_one_the_pointer_names(train):
    point_to(train / "checkpoints" / "step-00000010", BEST)
    assert read_best(train)[0].name == "step-00000010"


def test_a_damaged_best_is_replaced_by_the_newest_sound_one(train, caplog):
    point_to(train / "checkpoints" / "step-00000010", BEST)
    flip(train / "checkpoints" / "step-00000010" / "model.safetensors")
    assert read_best(train)[0].name == "step-00000030"
    assert "the best checkpoint is damaged" in caplog.text


def test_before_training_there_is_no_best_checkpoint(tmp_path):
    with pytest.raises(MissingArtifactError, match=r"best\.json") as caught:
        read_best(tmp_path)
    assert caught.value.hint == "s2s train"


def test_without_any_sound_checkpoint_the_error_says_so(train):
    (train / BEST).write_text(json.dumps({"checkpoint": "step-00000099"}))
    for path in checkpoints(train / "checkpoints"):
        flip(path / "model.safetensors")
    with pytest.raises(CorruptArtifactError, match="no sound checkpoint"):
        read_best(train)


@pytest.mark.parametrize(("module", "name"), [(shutil, "copytree"), (os, "fsync")])
def test_a_write_that_fails_leaves_the_earlier_checkpoints_alone(
    train, monkeypatch, module, name
):
    def fail(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, name, fail)
    bundle = TensorBundle({"w": torch.ones(1)}, {})
    with pytest.raises(OSError, match="No space left"):
        write_checkpoint(
            train / "checkpoints",
            40,
            model=bundle,
            trainer=bundle,
            text=train.parent / "text",
            run="run",
        )
    names = sorted(p.name for p in (train / "checkpoints").iterdir())
    assert names == ["step-00000010", "step-00000020", "step-00000030"]


@pytest.mark.parametrize("name", ["model.safetensors", "model.json"])
def test_a_missing_file_of_the_model_is_named(train, name):
    path = train / "checkpoints" / "step-00000010"
    (path / name).unlink()
    with pytest.raises(CorruptArtifactError, match=f"{name} is missing"):
        read_model(path)


def test_damage_to_the_training_state_does_not_keep_the_model_from_translating(train):
    path = train / "checkpoints" / "step-00000010"
    flip(path / "trainer.safetensors")
    assert read_model(path).info == {"step": 10}
    with pytest.raises(CorruptArtifactError, match=r"trainer\.safetensors is damaged"):
        read_trainer(path)


def test_a_folder_that_is_no_checkpoint_is_named(tmp_path):
    with pytest.raises(MissingArtifactError, match="not a checkpoint") as caught:
        read_model(tmp_path)
    assert "step-" in caught.value.hint

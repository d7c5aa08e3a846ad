import json

import pytest
import torch

from pipelines.artifacts import checkpoint
from pipelines.artifacts.checkpoint import (
    TensorBundle,
    checkpoints,
    latest_sound,
    newest_resumable,
    point_to,
    prune,
    read_best,
    read_model,
    read_trainer,
    sound_checkpoints,
    write_average,
    write_checkpoint,
)
from pipelines.artifacts.layout import BEST
from pipelines.errors import CorruptArtifactError, MissingArtifactError


@pytest.fixture
def train(tmp_path):
    text = tmp_path / "text"
    text.mkdir()
    (text / "pipeline.json").write_text("{}")
    folder = tmp_path / "train" / "checkpoints"
    for step in (10, 20, 30):
        write_checkpoint(
            folder,
            step,
            model=TensorBundle({"w": torch.full((2, 3), float(step))}, {"step": step}),
            trainer=TensorBundle({"optimizer.0.m": torch.ones(2)}, {"epoch": 1}),
            text=text,
            run="run",
        )
    return tmp_path / "train"


def flip(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def test_what_is_written_is_read(train):
    path = train / "checkpoints" / "step-00000020"
    model = read_model(path)
    assert model.info == {"step": 20}
    assert torch.equal(model.tensors["w"], torch.full((2, 3), 20.0))
    assert read_trainer(path).info == {"epoch": 1}
    assert (path / "text" / "pipeline.json").read_text() == "{}"


def test_nothing_is_pickled(train):
    suffixes = {p.suffix for p in train.rglob("*") if p.is_file()}
    assert suffixes == {".json", ".safetensors"}


def test_the_newest_sound_checkpoint_is_taken(train, caplog):
    folder = train / "checkpoints"
    assert latest_sound(folder) == folder / "step-00000030"
    flip(folder / "step-00000030" / "trainer.safetensors")
    (folder / "step-00000020" / "model.json").unlink()
    assert latest_sound(folder) == folder / "step-00000010"
    assert "trainer.safetensors is damaged" in caplog.text
    assert "model.json is missing" in caplog.text


def test_sound_checkpoints_come_newest_first_and_damaged_ones_are_told(train, caplog):
    folder = train / "checkpoints"
    flip(folder / "step-00000020" / "model.safetensors")
    names = [path.name for path in sound_checkpoints(folder)]
    assert names == ["step-00000030", "step-00000010"]
    assert "step-00000020 is passed over" in caplog.text


def test_no_training_goes_on_from_an_average(train):
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


def test_training_goes_on_from_a_sound_checkpoint_or_not_at_all(train, tmp_path):
    folder = train / "checkpoints"
    assert newest_resumable(tmp_path / "nowhere") is None
    assert newest_resumable(folder) == folder / "step-00000030"
    for path in checkpoints(folder):
        (path / "manifest.json").unlink()
    with pytest.raises(CorruptArtifactError, match="no sound checkpoint") as caught:
        newest_resumable(folder)
    assert "--force" in caught.value.hint


def test_best_is_what_the_pointer_names(train):
    point_to(train / "checkpoints" / "step-00000010", BEST)
    assert read_best(train)[0].name == "step-00000010"


def test_a_damaged_best_is_replaced_by_the_newest_sound_one(train, caplog):
    point_to(train / "checkpoints" / "step-00000010", BEST)
    flip(train / "checkpoints" / "step-00000010" / "model.safetensors")
    assert read_best(train)[0].name == "step-00000030"
    assert "the best checkpoint is damaged" in caplog.text


def test_before_training_there_is_no_best(tmp_path):
    with pytest.raises(MissingArtifactError, match=r"best\.json") as caught:
        read_best(tmp_path)[0]
    assert caught.value.hint == "s2s train"


def test_without_any_sound_checkpoint_the_error_says_so(train):
    (train / BEST).write_text(json.dumps({"checkpoint": "step-00000099"}))
    for path in checkpoints(train / "checkpoints"):
        flip(path / "model.safetensors")
    with pytest.raises(CorruptArtifactError, match="no sound checkpoint"):
        read_best(train)[0]


def test_prune_keeps_those_named(train):
    prune(train / "checkpoints", ["step-00000020"])
    assert [p.name for p in checkpoints(train / "checkpoints")] == ["step-00000020"]


@pytest.mark.parametrize("failing", ["save", "write_manifest"])
def test_a_write_that_fails_leaves_the_earlier_checkpoints_alone(
    train, monkeypatch, failing
):
    def fail(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, failing, fail)
    part = TensorBundle({"w": torch.ones(1)}, {})
    with pytest.raises(OSError, match="No space left"):
        write_checkpoint(
            train / "checkpoints",
            40,
            model=part,
            trainer=part,
            text=train.parent / "text",
            run="run",
        )
    names = sorted(p.name for p in (train / "checkpoints").iterdir())
    assert names == ["step-00000010", "step-00000020", "step-00000030"]


def test_a_folder_that_is_no_checkpoint_is_named(tmp_path):
    with pytest.raises(MissingArtifactError, match="not a checkpoint") as caught:
        read_model(tmp_path)
    assert "step-" in caught.value.hint

import json
import shutil

import pytest
import torch

from pipelines.artifacts.checkpoint import TensorBundle, read_model, write_checkpoint
from pipelines.artifacts.layout import AVERAGE
from pipelines.artifacts.manifest import Manifest, damaged_files, write_manifest
from pipelines.errors import (
    CorruptArtifactError,
    MissingArtifactError,
    UsageError,
)
from pipelines.tools.average import STEPS, average_named, average_newest

INFO = {"model": {"cells": 3, "layers": 1}, "src_vocab_size": 5, "validation": {}}


@pytest.fixture
def write(tmp_path):
    """Write a checkpoint of this training, or of one that differs."""

    def make(step, weights, *, folder="run", run="run", text="{}", **info):
        words = tmp_path / "text"
        words.mkdir(exist_ok=True)
        (words / "pipeline.json").write_text(text)
        return write_checkpoint(
            tmp_path / folder / "checkpoints",
            step,
            model=TensorBundle(
                {name: torch.tensor(values) for name, values in weights.items()},
                {**INFO, "step": step, **info},
            ),
            trainer=TensorBundle({"optimizer.0.m": torch.ones(2)}, {"epoch": 1}),
            text=words,
            run=run,
        )

    return make


@pytest.fixture
def three(write):
    """Steps 10, 20 and 30, whose float32 sum would lose the small one."""
    return [
        write(10, {"w": [[1.0, 3e7]], "b": [0.1]}),
        write(20, {"w": [[2.0, 1.0]], "b": [0.2]}),
        write(30, {"w": [[6.0, 1.0]], "b": [0.4]}),
    ]


def test_the_mean_is_summed_in_float64_and_stored_in_float32(three, tmp_path):
    average_named(three, tmp_path / "mean")
    tensors = read_model(tmp_path / "mean").tensors
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}
    # 30000002 / 3 in float32, where a float32 sum loses both ones: 30000000 / 3
    assert tensors["w"].tolist() == [[3.0, 10000001.0]]
    exact = torch.tensor([0.1, 0.2, 0.4]).double().mean(0, keepdim=True)
    assert torch.equal(tensors["b"], exact.float())
    assert tensors["b"].item() == pytest.approx(0.7 / 3)


def test_the_order_of_the_checkpoints_does_not_matter(three, tmp_path):
    average_named(three, tmp_path / "mean")
    average_named(three[::-1], tmp_path / "again")
    for name in ("model.safetensors", "model.json", "manifest.json"):
        first, second = (tmp_path / folder / name for folder in ("mean", "again"))
        assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("times", [2, 3, 7])
def test_the_mean_of_a_checkpoint_and_itself_is_that_checkpoint(write, tmp_path, times):
    generator = torch.Generator().manual_seed(1)
    weights = torch.randn(50, generator=generator)
    path = write(10, {"w": weights.tolist()})
    average_named([path] * times, tmp_path / "mean")
    found, own = (folder / "model.safetensors" for folder in (tmp_path / "mean", path))
    assert found.read_bytes() == own.read_bytes()


def test_manifest_and_model_info_name_the_averaged_steps(three, tmp_path):
    manifest = average_named(three[:2], tmp_path / "new" / "mean")
    assert (manifest.stage, manifest.fingerprint) == (AVERAGE, "run")
    assert manifest.counts == {"step": 20, STEPS: [10, 20]}
    assert read_model(tmp_path / "new" / "mean").info == {
        **INFO,
        "step": 20,
        "validation": None,
        STEPS: [10, 20],
    }
    assert damaged_files(tmp_path / "new" / "mean") == []
    assert not list((tmp_path / "new" / "mean").glob("trainer.*"))
    (tmp_path / "new" / "mean" / "model.json").write_text("{}")
    assert "model.json has 2 bytes" in damaged_files(tmp_path / "new" / "mean")[0]


def test_the_newest_sound_checkpoints_are_averaged(three, tmp_path, caplog):
    (three[1] / "model.safetensors").write_bytes(b"")
    manifest = average_newest(tmp_path / "run", 2, tmp_path / "mean")
    assert manifest.counts[STEPS] == [10, 30]
    tensors = read_model(tmp_path / "mean").tensors
    assert tensors["w"].tolist() == [[3.5, 15000000.0]]  # 15000000.5 in float32
    assert tensors["b"].tolist() == [pytest.approx(0.25)]
    assert "skipping step-00000020" in caplog.text


def test_fewer_sound_checkpoints_than_asked_for_are_an_error(three, tmp_path):
    with pytest.raises(UsageError, match=r"--last 4: .* holds 3 sound") as caught:
        average_newest(tmp_path / "run", 4, tmp_path / "mean")
    assert "train.keep_last = 4" in caught.value.hint
    with pytest.raises(UsageError, match="holds 0 sound"):
        average_newest(tmp_path / "nowhere", 2, tmp_path / "mean")


def test_one_checkpoint_is_not_enough(three, tmp_path):
    with pytest.raises(UsageError, match=r"1 checkpoint .* at least 2"):
        average_named(three[:1], tmp_path / "mean")
    with pytest.raises(UsageError, match="at least 2"):
        average_newest(tmp_path / "run", 1, tmp_path / "mean")


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"run": "other"}, "training: 'run' and 'other'"),
        ({"model": {"cells": 4, "layers": 1}}, "model.cells: 3 and 4"),
        ({"src_vocab_size": 6}, "src_vocab_size: 5 and 6"),
        ({"text": "[]"}, "text/pipeline.json: '44136fa3"),
        ({"weights": {"w": [1.0, 2.0]}}, "weights w: [1] and [2]"),
        ({"weights": {"v": [1.0]}}, "weights v: None and [1]"),
    ],
)
def test_checkpoints_of_several_trainings_are_refused(write, tmp_path, other, said):
    first = write(10, {"w": [1.0]})
    second = write(20, other.pop("weights", {"w": [2.0]}), folder="b", **other)
    with pytest.raises(UsageError) as caught:
        average_named([second, first], tmp_path / "mean")
    message = caught.value.message
    assert message.startswith(f"{first} and {second} cannot be averaged")
    assert f"\n  {said}" in message
    assert "ensemble" in caught.value.hint
    assert not (tmp_path / "mean").exists()


def test_a_damaged_checkpoint_is_named(three, tmp_path):
    weights = three[1] / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(CorruptArtifactError, match=r"step-00000020/model\.safe"):
        average_named(three, tmp_path / "mean")
    assert not (tmp_path / "mean").exists()


def test_the_trainer_state_is_not_needed(three, tmp_path):
    for path in three:
        (path / "trainer.safetensors").unlink()
    average_named(three, tmp_path / "mean")


def test_a_folder_that_is_no_checkpoint_is_named(three, tmp_path):
    with pytest.raises(MissingArtifactError, match="is not a checkpoint"):
        average_named([three[0], tmp_path], tmp_path / "mean")
    stage = tmp_path / "train"
    stage.mkdir()
    write_manifest(stage, Manifest("train", "run", {}, {}, {}))
    with pytest.raises(MissingArtifactError, match="train wrote it"):
        average_named([three[0], stage], tmp_path / "mean")


def test_an_average_is_not_averaged_again(three, tmp_path):
    average_named(three[:2], tmp_path / "mean")
    with pytest.raises(UsageError, match="is an average of steps 10, 20"):
        average_named([three[2], tmp_path / "mean"], tmp_path / "again")


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_nothing_is_overwritten(three, tmp_path, kind):
    output = tmp_path / "mean"
    if kind == "folder":
        output.mkdir()
    elif kind == "file":
        output.write_text("mine")
    else:
        output.symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="is there already"):
        average_named(three, output)
    with pytest.raises(UsageError, match="is there already"):
        average_newest(tmp_path / "run", 2, output)
    assert kind != "file" or output.read_text() == "mine"


def test_a_write_that_fails_leaves_nothing(three, tmp_path, monkeypatch):
    def fail(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copytree", fail)
    with pytest.raises(OSError, match="No space left"):
        average_named(three, tmp_path / "new" / "mean")
    assert list((tmp_path / "new").iterdir()) == []


def test_the_steps_are_those_recorded_not_those_of_the_names(three, tmp_path):
    copy = tmp_path / "elsewhere"
    shutil.copytree(three[2], copy)
    average_named([copy, three[0]], tmp_path / "mean")
    info = json.loads((tmp_path / "mean" / "model.json").read_bytes())
    assert info[STEPS] == [10, 30]

"""Every path that names a model."""

import json
import shutil

import pytest
import torch

from pipelines.artifacts.checkpoint import TensorBundle, write_checkpoint
from pipelines.artifacts.checkpoint_folder import point_to, prune
from pipelines.artifacts.layout import BEST, LATEST
from pipelines.artifacts.model_path import find_model, read_named
from pipelines.errors import CorruptArtifactError, MissingArtifactError


@pytest.fixture
def project(tmp_path):
    """Three checkpoints; the pointers name the first and the second."""
    project = tmp_path / "project"
    (project / "text").mkdir(parents=True)
    (project / "text" / "pipeline.json").write_text("{}")
    (project / "s2s.toml").write_text("")
    folder = project / "train" / "checkpoints"
    for step in (1, 2, 3):
        part = TensorBundle({"w": torch.full((2,), float(step))}, {"step": step})
        write_checkpoint(
            folder, step, model=part, trainer=part, text=project / "text", run="run"
        )
    point_to(folder / "step-00000001", BEST)
    point_to(folder / "step-00000002", LATEST)
    return project


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("", 1),
        ("train", 1),
        ("train/checkpoints", 1),
        ("train/best.json", 1),
        ("train/latest.json", 2),
        ("train/checkpoints/step-00000003", 3),
        ("train/checkpoints/step-00000003/model.safetensors", 3),
        ("train/checkpoints/step-00000003/model.json", 3),
        ("train/checkpoints/step-00000003/manifest.json", 3),
    ],
)
def test_a_path_names_a_checkpoint(project, name, step):
    path, model = find_model(project / name)
    assert path == project / f"train/checkpoints/step-{step:08d}"
    assert model.info == {"step": step}


def test_paths_relative_to_a_checkpoint_name_it(project, monkeypatch):
    monkeypatch.chdir(project / "train" / "checkpoints" / "step-00000003")
    for name, step in ((".", 3), ("model.safetensors", 3), ("..", 1), ("../..", 1)):
        assert find_model(type(project)(name))[1].info == {"step": step}, name


@pytest.mark.parametrize("name", ["", "train", "train/checkpoints"])
def test_before_a_validation_the_newest_sound_checkpoint_is_taken(
    project, caplog, name
):
    (project / "train" / BEST).unlink()
    newest = project / "train" / "checkpoints" / "step-00000003" / "model.safetensors"
    newest.write_bytes(b"damaged")
    assert find_model(project / name)[1].info == {"step": 2}
    assert "no checkpoint of" in caplog.text
    assert "using step-00000002" in caplog.text


def test_a_project_without_a_sound_checkpoint_is_damaged(project):
    (project / "train" / BEST).unlink()
    for path in project.glob("train/checkpoints/*/model.safetensors"):
        path.write_bytes(b"damaged")
    with pytest.raises(CorruptArtifactError, match="no sound checkpoint"):
        find_model(project)


@pytest.mark.parametrize("name", ["", "train", "train/checkpoints"])
def test_a_project_without_a_model_says_how_to_get_one(project, name):
    shutil.rmtree(project / "train" / "checkpoints")
    for pointer in (BEST, LATEST):
        (project / "train" / pointer).unlink()
    with pytest.raises(MissingArtifactError, match="holds no model yet") as caught:
        find_model(project / name)
    assert caught.value.hint == f"s2s train -d {project}"


@pytest.mark.parametrize("content", ["{", "[]", json.dumps({"checkpoint": 1})])
def test_a_damaged_pointer_is_named(project, content):
    (project / "train" / LATEST).write_text(content)
    with pytest.raises(CorruptArtifactError, match=r"latest\.json is damaged"):
        find_model(project / "train" / LATEST)


@pytest.mark.parametrize("name", ["s2s.toml", "nowhere", "train/checkpoints/step-9"])
def test_a_path_to_no_model_is_refused(project, name):
    with pytest.raises(MissingArtifactError, match="checkpoint") as caught:
        find_model(project / name)
    assert "step-" in caught.value.hint


@pytest.mark.parametrize("name", ["", "train", "train/checkpoints", "train/best.json"])
def test_the_successor_of_a_checkpoint_deleted_meanwhile_is_read(project, name):
    folder = project / "train" / "checkpoints"

    def read(path, _model):
        if path.name == "step-00000001":  # as a training does that has a better one
            point_to(folder / "step-00000003", BEST)
            prune(folder, ["step-00000003"])
        return path.name, (path / "text" / "pipeline.json").read_text()

    assert read_named(project / name, read) == ("step-00000003", "{}")


def test_a_deleted_checkpoint_that_was_named_itself_is_missing(project):
    path = project / "train" / "checkpoints" / "step-00000001"

    def read(path, _model):
        prune(path.parent, ["step-00000003"])
        return (path / "text" / "pipeline.json").read_text()

    with pytest.raises(FileNotFoundError, match="step-00000001"):
        read_named(path, read)

import pytest
import torch

from pipelines.artifacts.checkpoint import TensorBundle, write_checkpoint
from pipelines.artifacts.checkpoint_folder import point_to
from pipelines.artifacts.layout import BEST, LATEST, Layout
from pipelines.project.verify import verify


@pytest.fixture
def layout(tmp_path):
    """A project whose training still runs."""
    text = tmp_path / "text"
    text.mkdir()
    (text / "pipeline.json").write_text("{}")
    layout = Layout(tmp_path)
    part = TensorBundle({"w": torch.ones(2)}, {})
    path = write_checkpoint(
        layout.train / "checkpoints", 3, model=part, trainer=part, text=text, run="run"
    )
    for pointer in (LATEST, BEST):
        point_to(path, pointer)
    return layout


def test_checkpoints_of_an_unfinished_training_are_checked(layout):
    found = verify(layout)
    assert found.problems == []
    assert found.num_files == 8
    weights = layout.train / "checkpoints" / "step-00000003" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    assert "model.safetensors is damaged" in verify(layout).problems[0]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "best.json is damaged"),
        ('{"checkpoint": "step-00000009"}', "names step-00000009, which is missing"),
    ],
)
def test_a_pointer_to_no_checkpoint_is_a_problem(layout, content, problem):
    (layout.train / BEST).write_text(content)
    assert problem in verify(layout).problems[0]


def test_a_damaged_manifest_is_named(layout):
    manifest = layout.train / "checkpoints" / "step-00000003" / "manifest.json"
    manifest.write_text(manifest.read_text().replace("checkpoint", "checkpaint"))
    assert "manifest.json is damaged" in verify(layout).problems[0]


def test_an_empty_project_has_nothing_to_check(tmp_path):
    assert verify(Layout(tmp_path)).num_files == 0

"""A project of one-line texts, and stages that have run without any work."""

import pytest

from pipelines.artifacts.layout import Layout
from pipelines.artifacts.manifest import write_manifest
from pipelines.config import load
from pipelines.project.stages import new_manifest

TOML = """
recipe = "small"
[data]
train = ["train.en", "train.fr"]
valid = ["valid.en", "valid.fr"]
test = ["test.en", "test.fr"]
"""


@pytest.fixture
def layout(tmp_path):
    (tmp_path / "s2s.toml").write_text(TOML)
    for split in ("train", "valid", "test"):
        for side in ("en", "fr"):
            (tmp_path / f"{split}.{side}").write_text(f"{split} {side}\n")
    return Layout(tmp_path)


def settings(layout, *overrides):
    return load(layout.root, overrides=overrides).config


def complete(layout, *stages, overrides=()):
    """Write the manifests that these stages would have written."""
    config = settings(layout, *overrides)
    for stage in stages:
        folder = layout.stage(stage)
        folder.mkdir(parents=True, exist_ok=True)
        write_manifest(folder, new_manifest(stage, config, layout, {}))

"""A training with three small checkpoints."""

import pytest
import torch

from pipelines.artifacts.checkpoint import TensorBundle, write_checkpoint


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

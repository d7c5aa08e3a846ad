import json

import pytest
import torch

from pipelines.artifacts.checkpoint_folder import checkpoints
from pipelines.artifacts.layout import BEST, LATEST
from pipelines.config import ModelConfig, TrainConfig
from pipelines.distributed.process_group import DistributedContext
from pipelines.errors import CorruptArtifactError
from pipelines.model.seq2seq import Seq2Seq, initialize
from pipelines.trainer.checkpoints import CheckpointManager
from pipelines.trainer.optimizer import prepare_state
from pipelines.trainer.train_step import TrainStep

MODEL = ModelConfig(layers=1, cells=4, embedding_size=4)
TRAIN = TrainConfig(optimizer="adam", ema_decay=0.9, keep_last=3)
FILES = (
    "manifest.json",
    "model.safetensors",
    "model.json",
    "trainer.safetensors",
    "trainer.json",
    "text/pipeline.json",
    "text/source.vocab.tsv",
    "text/target.vocab.tsv",
)


def tear(path):
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def empty(path):
    path.write_bytes(b"")


def remove(path):
    path.unlink()


@pytest.fixture
def parts():
    """A learner, different for every seed."""

    def make(seed):
        model = Seq2Seq(MODEL, 9, 9)
        initialize(model, init_range=0.1, seed=seed)
        learner = TrainStep(model, TRAIN, DistributedContext())
        prepare_state(learner.optimizer)
        return learner

    return make


@pytest.fixture
def store(tmp_path, parts):
    """Checkpoints of the steps 1, 2 and 3; the second is the best."""
    text = tmp_path / "text"
    text.mkdir()
    for name in ("pipeline.json", "source.vocab.tsv", "target.vocab.tsv"):
        (text / name).write_text("something\n")
    found = CheckpointManager(
        tmp_path / "train", TRAIN, text=text, run="run", model_info={}
    )
    for step in (1, 2, 3):
        found.save(
            step,
            parts(step),
            position={"step": step, "best_step": 2 if step > 1 else 0},
            validation=None,
            best_step=2 if step > 1 else 0,
            kept={1, 2, 3},
        )
    return found


def named(store, pointer):
    return json.loads((store.folder / pointer).read_bytes())["checkpoint"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", [tear, flip, empty, remove])
def test_a_damaged_checkpoint_is_refused_and_the_last_sound_one_used(
    store, parts, caplog, name, damage
):
    damage(store.checkpoints / "step-00000003" / name)
    learner = parts(9)
    assert store.resume(learner)["step"] == 2
    model, wanted = learner.model, parts(2).model
    for found, other in zip(model.parameters(), wanted.parameters(), strict=True):
        assert torch.equal(found, other)
    assert f"step-00000003/{name}" in caplog.text
    assert "skipping step-00000003" in caplog.text
    assert named(store, LATEST) == named(store, BEST) == "step-00000002"


def test_training_does_not_begin_at_zero_when_every_checkpoint_is_damaged(store, parts):
    for path in checkpoints(store.checkpoints):
        flip(path / "model.safetensors")
    with pytest.raises(CorruptArtifactError, match="no sound checkpoint") as caught:
        store.resume(parts(9))
    assert "s2s train --force" in caught.value.hint


def test_before_the_first_checkpoint_there_is_nothing_to_resume(tmp_path, parts):
    store = CheckpointManager(
        tmp_path / "train", TRAIN, text=tmp_path, run="run", model_info={}
    )
    assert store.resume(parts(9)) is None


def test_pointers_that_a_kill_left_behind_are_set_right(store, parts):
    (store.folder / LATEST).write_text('{"checkpoint": "step-00000001"}\n')
    (store.folder / BEST).unlink()
    store.resume(parts(9))
    assert named(store, LATEST) == "step-00000003"
    assert named(store, BEST) == "step-00000002"


def test_a_half_written_checkpoint_is_no_checkpoint(store, parts):
    leftover = store.checkpoints / "step-00000004.tmp-999999999"
    leftover.mkdir()
    assert store.resume(parts(9))["step"] == 3
    assert store.keep({}, 5) == {2, 3, 5}


def test_only_what_is_kept_stays_and_no_half_of_the_rest(store, parts):
    (store.checkpoints / "step-00000007.tmp-999999999").mkdir()
    position = {"step": 4, "best_step": 0}
    store.save(4, parts(4), position=position, validation=None, best_step=0, kept={4})
    assert [p.name for p in store.checkpoints.iterdir()] == ["step-00000004"]

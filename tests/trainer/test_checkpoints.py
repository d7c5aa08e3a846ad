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
from pipelines.trainer.train_state import TrainState, ValidationResult
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


def make_train_step(seed):
    model = Seq2Seq(MODEL, 9, 9)
    initialize(model, init_range=0.1, seed=seed)
    train_step = TrainStep(model, TRAIN, DistributedContext())
    prepare_state(train_step.optimizer)
    return train_step


@pytest.fixture
def manager(tmp_path):
    """Checkpoints of the steps 1, 2 and 3; the second is the best."""
    text = tmp_path / "text"
    text.mkdir()
    for name in ("pipeline.json", "source.vocab.tsv", "target.vocab.tsv"):
        (text / name).write_text("something\n")
    manager = CheckpointManager(
        tmp_path / "train", TRAIN, text=text, run="run", model_info={}
    )
    for step in (1, 2, 3):
        state = TrainState(step=step, best_step=2 if step > 1 else 0)
        manager.save(make_train_step(step), state, validation=None, kept={1, 2, 3})
    return manager


def pointed_to(manager, pointer):
    return json.loads((manager.folder / pointer).read_bytes())["checkpoint"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", [tear, flip, empty, remove])
def test_a_damaged_checkpoint_is_refused_and_the_last_sound_one_used(
    manager, caplog, name, damage
):
    damage(manager.checkpoints / "step-00000003" / name)
    train_step = make_train_step(9)
    assert manager.resume(train_step).step == 2
    restored, saved = train_step.model, make_train_step(2).model
    for one, other in zip(restored.parameters(), saved.parameters(), strict=True):
        assert torch.equal(one, other)
    assert f"step-00000003/{name}" in caplog.text
    assert "skipping step-00000003" in caplog.text
    assert pointed_to(manager, LATEST) == pointed_to(manager, BEST) == "step-00000002"


def test_training_does_not_begin_at_zero_when_every_checkpoint_is_damaged(manager):
    for path in checkpoints(manager.checkpoints):
        flip(path / "model.safetensors")
    with pytest.raises(CorruptArtifactError, match="no sound checkpoint") as caught:
        manager.resume(make_train_step(9))
    assert "s2s train --force" in caught.value.hint


def test_before_the_first_checkpoint_there_is_nothing_to_resume(tmp_path):
    manager = CheckpointManager(
        tmp_path / "train", TRAIN, text=tmp_path, run="run", model_info={}
    )
    assert manager.resume(make_train_step(9)) is None


def test_pointers_that_a_kill_left_stale_are_corrected(manager):
    (manager.folder / LATEST).write_text('{"checkpoint": "step-00000001"}\n')
    (manager.folder / BEST).unlink()
    manager.resume(make_train_step(9))
    assert pointed_to(manager, LATEST) == "step-00000003"
    assert pointed_to(manager, BEST) == "step-00000002"


def test_a_half_written_checkpoint_is_no_checkpoint(manager):
    leftover = manager.checkpoints / "step-00000004.tmp-999999999"
    leftover.mkdir()
    assert manager.resume(make_train_step(9)).step == 3
    assert manager.steps_to_keep({}, 5) == {2, 3, 5}


def test_other_checkpoints_are_deleted_with_half_written_ones(manager):
    (manager.checkpoints / "step-00000007.tmp-999999999").mkdir()
    manager.save(make_train_step(4), TrainState(step=4), validation=None, kept={4})
    assert [p.name for p in manager.checkpoints.iterdir()] == ["step-00000004"]


def test_the_last_and_the_best_checkpoints_are_kept(manager):
    assert manager.steps_to_keep({1: 1.0, 2: 2.0}, 4) == {1, 2, 3, 4}
    assert manager.steps_to_keep({1: 2.0, 2: 1.0}, 4) == {2, 3, 4}
    assert manager.steps_to_keep({1: 1.0, 2: 1.0}, 4) == {1, 2, 3, 4}  # a tie


def test_the_validation_of_a_checkpoint_is_written_beside_its_weights(manager):
    result = ValidationResult(2.5, 30.0)
    state = TrainState(step=5, best=result, best_step=5)
    manager.save(make_train_step(5), state, validation=result, kept={5})
    info = json.loads((manager.checkpoints / "step-00000005/model.json").read_bytes())
    assert info["step"] == 5
    assert info["validation"] == {"perplexity": 2.5, "bleu": 30.0}

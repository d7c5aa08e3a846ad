import pytest

from pipelines.artifacts.checkpoint_folder import (
    checkpoints,
    newest_resumable,
    newest_sound,
    point_to,
    prune,
    read_info,
    read_pointer,
    sound_checkpoints,
    step_of,
)
from pipelines.artifacts.layout import LATEST
from pipelines.errors import CorruptArtifactError
from tests.artifacts.conftest import flip


def test_the_newest_sound_checkpoint_is_taken(train, caplog):
    folder = train / "checkpoints"
    assert newest_sound(folder) == folder / "step-00000030"
    flip(folder / "step-00000030" / "trainer.safetensors")
    (folder / "step-00000020" / "model.json").unlink()
    assert newest_sound(folder) == folder / "step-00000010"
    assert "trainer.safetensors is damaged" in caplog.text
    assert "model.json is missing" in caplog.text


def test_sound_checkpoints_come_newest_first_and_damaged_ones_are_logged(train, caplog):
    folder = train / "checkpoints"
    flip(folder / "step-00000020" / "model.safetensors")
    names = [path.name for path in sound_checkpoints(folder)]
    assert names == ["step-00000030", "step-00000010"]
    assert "skipping step-00000020" in caplog.text


def test_training_resumes_from_a_sound_checkpoint_or_not_at_all(train, tmp_path):
    folder = train / "checkpoints"
    assert newest_resumable(tmp_path / "nowhere") is None
    assert newest_resumable(folder) == folder / "step-00000030"
    for path in checkpoints(folder):
        (path / "manifest.json").unlink()
    with pytest.raises(CorruptArtifactError, match="no sound checkpoint") as caught:
        newest_resumable(folder)
    assert "--force" in caught.value.hint


def test_prune_keeps_the_checkpoints_named(train):
    prune(train / "checkpoints", ["step-00000020"])
    assert [p.name for p in checkpoints(train / "checkpoints")] == ["step-00000020"]


def test_only_complete_checkpoints_are_listed_by_step(train):
    folder = train / "checkpoints"
    for name in ("step-00000040.tmp-1", "step-9", "other"):
        (folder / name).mkdir()
    assert [step_of(path) for path in checkpoints(folder)] == [9, 10, 20, 30]
    assert checkpoints(train / "nowhere") == []


def test_prune_removes_what_killed_processes_left(train):
    folder = train / "checkpoints"
    (folder / "step-00000040.tmp-99999999").mkdir()
    prune(folder, [path.name for path in checkpoints(folder)])
    assert len(list(folder.iterdir())) == 3


def test_a_pointer_names_a_checkpoint(train):
    path = train / "checkpoints" / "step-00000020"
    point_to(path, LATEST)
    assert (train / LATEST).read_bytes() == b'{"checkpoint": "step-00000020"}\n'
    assert read_pointer(train / LATEST) == path


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"checkpoint": 1}'])
def test_a_damaged_pointer_is_named(train, content):
    (train / LATEST).write_text(content)
    with pytest.raises(CorruptArtifactError, match=r"latest\.json is damaged"):
        read_pointer(train / LATEST)


def test_plain_values_are_read_without_their_tensors(train):
    path = train / "checkpoints" / "step-00000020"
    (path / "trainer.safetensors").unlink()
    assert read_info(path / "trainer.json") == {"epoch": 1}
    (path / "trainer.json").write_text("{")
    with pytest.raises(CorruptArtifactError, match=r"trainer\.json"):
        read_info(path / "trainer.json")
    with pytest.raises(CorruptArtifactError, match=r"nothing\.json"):
        read_info(path / "nothing.json")

import multiprocessing
import os

import pytest

from pipelines.artifacts.files import (
    remove_folder,
    remove_leftovers_in,
    remove_leftovers_of,
    sha256_bytes,
    sha256_file,
    staged,
    write_atomic,
)

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.fixture
def dead_pid():
    process = multiprocessing.get_context("spawn").Process(target=int)
    process.start()
    process.join()
    return process.pid


def test_hashes_are_sha256(tmp_path):
    (tmp_path / "f").write_bytes(b"abc")
    assert sha256_bytes(b"abc") == sha256_file(tmp_path / "f") == ABC


def test_a_large_file_is_hashed_in_chunks(tmp_path):
    data = b"x" * (3 * (1 << 20) + 5)
    (tmp_path / "f").write_bytes(data)
    assert sha256_file(tmp_path / "f") == sha256_bytes(data)


def test_write_atomic_replaces_a_file_and_leaves_nothing_else(tmp_path):
    write_atomic(tmp_path / "f", b"old")
    write_atomic(tmp_path / "f", b"new")
    assert (tmp_path / "f").read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_write_atomic_keeps_the_old_file_when_it_fails(tmp_path, monkeypatch):
    write_atomic(tmp_path / "f", b"old")

    def refuse(descriptor):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="disk full"):
        write_atomic(tmp_path / "f", b"new")
    assert (tmp_path / "f").read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_a_staged_folder_appears_whole(tmp_path):
    target = tmp_path / "deep" / "stage"
    with staged(target) as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "f").write_bytes(b"x")
        assert not target.exists()
    assert (target / "sub" / "f").read_bytes() == b"x"
    assert [p.name for p in target.parent.iterdir()] == ["stage"]


def test_a_staged_folder_replaces_the_old_one(tmp_path):
    for name in ("old", "new"):
        with staged(tmp_path / "stage") as folder:
            (folder / name).touch()
    assert [p.name for p in (tmp_path / "stage").iterdir()] == ["new"]
    assert [p.name for p in tmp_path.iterdir()] == ["stage"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_error_while_staging_leaves_the_old_folder(tmp_path, error):
    with staged(tmp_path / "stage") as folder:
        (folder / "old").touch()

    def fail():
        with staged(tmp_path / "stage") as folder:
            (folder / "new").touch()
            raise error

    with pytest.raises(error):
        fail()
    assert [p.name for p in (tmp_path / "stage").iterdir()] == ["old"]
    assert [p.name for p in tmp_path.iterdir()] == ["stage"]


def test_leftovers_of_a_killed_process_are_removed(tmp_path, dead_pid):
    (tmp_path / f"stage.tmp-{dead_pid}").mkdir()
    (tmp_path / f"stage.old-{dead_pid}").touch()
    (tmp_path / "stage").mkdir()
    remove_leftovers_of(tmp_path / "stage")
    assert [p.name for p in tmp_path.iterdir()] == ["stage"]


def test_a_replacement_killed_between_its_renames_is_undone(tmp_path, dead_pid):
    old = tmp_path / f"stage.old-{dead_pid}"
    old.mkdir()
    (old / "f").touch()
    remove_leftovers_of(tmp_path / "stage")
    assert (tmp_path / "stage" / "f").exists()


def test_leftovers_of_all_names_in_a_folder_are_removed(tmp_path, dead_pid):
    for name in ("run.json", "step-1"):
        (tmp_path / f"{name}.tmp-{dead_pid}").touch()
    (tmp_path / f"step-2.old-{dead_pid}").mkdir()
    (tmp_path / f"theirs.tmp-{os.getppid()}").mkdir()
    (tmp_path / "not.tmp").touch()
    remove_leftovers_in(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "not.tmp",
        "step-2",
        f"theirs.tmp-{os.getppid()}",
    ]


def test_a_removed_folder_leaves_nothing(tmp_path):
    folder = tmp_path / "step-1"
    folder.mkdir()
    (folder / "f").touch()
    remove_folder(folder)
    assert not list(tmp_path.iterdir())


def test_the_folder_of_a_living_process_is_left_alone(tmp_path):
    theirs = tmp_path / f"stage.tmp-{os.getppid()}"
    theirs.mkdir()
    remove_leftovers_of(tmp_path / "stage")
    assert theirs.exists()


def test_a_process_of_another_user_is_alive(tmp_path, monkeypatch):
    def refuse(pid, signal):
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    theirs = tmp_path / "stage.tmp-1"
    theirs.mkdir()
    remove_leftovers_of(tmp_path / "stage")
    assert theirs.exists()


def test_leftovers_of_this_process_are_removed(tmp_path):
    (tmp_path / f"stage.tmp-{os.getpid()}").mkdir()
    with staged(tmp_path / "stage"):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["stage"]


@pytest.mark.parametrize("exists", [True, False])
def test_a_folder_behind_a_symbolic_link_is_replaced_where_it_is(tmp_path, exists):
    large = tmp_path / "large disk"
    large.mkdir()
    link, target = tmp_path / "stage", large / "stage"
    if exists:
        target.mkdir()
        (target / "old").touch()
    link.symlink_to(target)
    for name in ("first", "second"):
        with staged(link) as folder:
            assert folder.parent == large
            (folder / name).touch()
        assert link.is_symlink()
        assert [path.name for path in target.iterdir()] == [name]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["large disk", "stage"]
    assert [path.name for path in large.iterdir()] == ["stage"]

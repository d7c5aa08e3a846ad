import tomllib

import pytest

from pipelines.errors import CorpusError, UsageError
from pipelines.init import run


def test_numbers_come_with_their_text(tmp_path):
    path = run(tmp_path / "demo", "numbers", {}, force=False)
    assert path == tmp_path / "demo" / "s2s.toml"
    assert len((tmp_path / "demo" / "data" / "test.en").read_text().splitlines()) == 500


def test_files_are_found_from_the_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.de").write_text("x\n")
    (tmp_path / "a.en").write_text("x\n")
    values = {"data.train": ("a.de", str(tmp_path / "a.en"))}
    path = run(tmp_path / "sub" / "demo", "small", values, force=False)
    found = tomllib.loads(path.read_text())["data"]["train"]
    assert found == ["../../a.de", str(tmp_path / "a.en")]
    assert not (tmp_path / "sub" / "demo" / "data").exists()


def test_a_missing_file_leaves_no_project(tmp_path):
    with pytest.raises(CorpusError, match="nowhere not found"):
        run(tmp_path / "demo", "small", {"data.train": ("nowhere", "x")}, force=False)
    assert not (tmp_path / "demo").exists()


def test_a_project_is_replaced_only_when_forced(tmp_path):
    run(tmp_path, "small", {}, force=False)
    with pytest.raises(UsageError, match="exists already"):
        run(tmp_path, "small", {}, force=False)
    run(tmp_path, "small", {"train.seed": 7}, force=True)
    assert "seed = 7" in (tmp_path / "s2s.toml").read_text()

import json
import os

import pytest

from tests.cli.conftest import init_arguments, write_corpus


def tree(folder):
    """Every file and folder with its time and size."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.stat().st_size)
        for path in [folder, *folder.rglob("*")]
    }


@pytest.fixture
def quick(monkeypatch):
    from pipelines.estimate import trial

    monkeypatch.setattr(trial, "_WHOLE_BATCHES_S", 0.05)


@pytest.fixture
def fresh(s2s, tmp_path):
    """A project whose text is not preprocessed yet."""
    data = write_corpus(tmp_path / "data", [("train", 400), ("valid", 9), ("test", 9)])
    assert s2s(*init_arguments(data, tmp_path / "project")).status == 0
    return tmp_path / "project"


def test_before_preprocessing_the_text_is_counted_and_nothing_written(
    s2s, fresh, quick
):
    before = tree(fresh)
    result = s2s("train", "--dry-run", "-d", fresh)
    assert result.status == 0
    assert tree(fresh) == before
    assert "about training pairs" in result.out
    assert "not yet preprocessed" in result.out
    assert "words a second" in result.out


def test_after_training_the_estimate_is_exact_and_nothing_written(s2s, project, quick):
    before = tree(project)
    result = s2s("train", "--dry-run", "--json", "-d", project)
    assert result.status == 0
    assert tree(project) == before
    estimate = json.loads(result.out)
    manifests = {
        stage: json.loads((project / stage / "manifest.json").read_text())["counts"]
        for stage in ("preprocess", "train")
    }
    train = manifests["preprocess"]["train"]
    assert estimate["epoch"]["basis"] == "shards"
    assert estimate["epoch"]["pairs"] == train["kept"]
    assert estimate["epoch"]["words"] == (
        train["source_tokens"] + train["target_tokens"] + 2 * train["kept"]
    )
    assert estimate["epoch"]["total_updates"] == manifests["train"]["steps"]
    assert estimate["epoch"]["total_words"] == manifests["train"]["words"]
    assert estimate["parameters"]["total"] == manifests["train"]["parameters"]
    steps = sorted((project / "train" / "checkpoints").glob("step-*"))
    size = sum(p.stat().st_size for p in steps[-1].rglob("*") if p.is_file())
    assert estimate["disk"]["checkpoint_bytes"] == pytest.approx(size, rel=0.1)
    assert estimate["memory"]["workspace_bytes"] > 0
    assert estimate["speed"]["words_per_s"] > 0
    assert "profiler" not in result.err


def test_stale_shards_are_ignored(s2s, project, quick):
    arguments = ["train", "--dry-run", "--json", "-d", project]
    result = s2s(*arguments, "--set", "preprocess.max_length=3")
    assert json.loads(result.out)["epoch"]["basis"] == "text"


def test_hashes_are_not_stored(s2s, project, quick):
    (project / ".s2s" / "hashes.json").unlink()
    before = tree(project)
    assert s2s("train", "--dry-run", "-d", project).status == 0
    assert tree(project) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_estimated_too(s2s, fresh, quick):
    fresh.chmod(0o500)
    try:
        assert s2s("train", "--dry-run", "-d", fresh).status == 0
    finally:
        fresh.chmod(0o700)


@pytest.mark.parametrize("options", [["--json"], ["--dry-run", "--force"]])
def test_options_without_effect_are_refused(s2s, fresh, options):
    result = s2s("train", *options, "-d", fresh)
    assert result.status == 2
    assert "--dry-run" in result.err


def test_several_processes_share_the_memory_of_a_batch(s2s, project, quick):
    arguments = ["train", "--dry-run", "-d", project, "--device", "cpu", "--json"]
    one = json.loads(s2s(*arguments).out)
    two = json.loads(s2s(*arguments, "--num-gpus", 2).out)
    assert (one["processes"], two["processes"]) == (1, 2)
    assert two["memory"]["batch_pairs"] == one["memory"]["batch_pairs"] / 2
    assert two["epoch"] == one["epoch"]
    shown = s2s(*arguments[:-1], "--num-gpus", 2).out
    assert "of each of 2 processes" in shown
    assert "exchange of gradients comes on top" in " ".join(shown.split())

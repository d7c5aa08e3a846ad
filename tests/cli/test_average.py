import json
import shutil

import pytest


def checkpoints(project):
    return sorted((project / "train" / "checkpoints").iterdir())


def test_an_average_translates_by_itself_and_in_an_ensemble(s2s, project, tmp_path):
    mean = tmp_path / "mean"
    found = s2s("average", "--last", "2", "-d", project, "-o", mean)
    assert (found.status, found.out) == (0, "")
    assert f"{mean} holds the mean of steps 400, 800" in found.err
    assert json.loads((mean / "model.json").read_bytes())["averaged_steps"] == [
        400,
        800,
    ]
    (newest,) = checkpoints(project)[-1:]
    for models in ((mean,), (mean, newest)):
        options = [option for model in models for option in ("--model", model)]
        found = s2s("translate", "-q", *options, stdin=b"a b\n\nf\n")
        assert (found.status, found.lines) == (0, ["A B", "", "F"])
    assert s2s("verify", "-q", "-d", project).status == 0


def test_checkpoints_that_are_named_need_no_project(s2s, project, tmp_path):
    named, both = checkpoints(project), ("--last", "2", "-d", project)
    assert s2s("average", *named, "-o", tmp_path / "mean").status == 0
    assert s2s("average", *both, "-o", tmp_path / "again").status == 0
    first, second = (tmp_path / name / "manifest.json" for name in ("mean", "again"))
    assert first.read_bytes() == second.read_bytes()
    again = s2s("average", *named, "-o", tmp_path / "mean")
    assert again.status == 2
    assert "nothing is overwritten" in again.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "either checkpoints or --last N"),
        (("a", "b", "--last", "2"), "either checkpoints or --last N"),
        (("--last", "1"), "--last 1: expected at least 2"),
        (("a",), "at least 2"),
        (("a", "b", "--set", "train.seed=2"), "no setting has a part"),
    ],
)
def test_wrong_usage_is_an_error(s2s, tmp_path, options, said):
    found = s2s("average", *options, "-d", tmp_path, "-o", tmp_path / "mean")
    assert found.status == 2
    assert said in " ".join(found.err.split())
    assert list(tmp_path.iterdir()) == []


def test_the_newest_checkpoints_need_a_project(s2s, tmp_path):
    found = s2s("average", "--last", "2", "-d", tmp_path, "-o", tmp_path / "mean")
    assert found.status == 3
    assert "s2s.toml not found" in found.err


def test_too_few_checkpoints_hint_at_what_keeps_more(s2s, project, tmp_path):
    found = s2s("average", "--last", "9", "-d", project, "-o", tmp_path / "mean")
    assert found.status == 2
    assert "holds 2 sound checkpoints" in found.err
    assert "train.keep_last = 9" in found.err


@pytest.mark.parametrize("options", [(), ("--fork", "--set", "train.seed=2")])
def test_training_does_not_resume_from_an_average(s2s, project, tmp_path, options):
    folder = project / "train" / "checkpoints"
    s2s("average", "-q", *checkpoints(project), "-o", folder / "step-00000900")
    (project / "train" / "manifest.json").unlink()
    found = s2s("train", "-q", "-d", project, *options)
    assert found.status == 3
    assert "step-00000900 only translates: it is an average" in found.err
    assert "move step-00000900 out of" in found.err
    shutil.move(folder / "step-00000900", tmp_path / "mean")
    found = s2s("train", "-q", "-d", project)
    assert found.status == 0

"""Commands that only read a model: they train nothing and take no lock."""

import json
import shutil

import pytest

from pipelines.artifacts.checkpoint_folder import checkpoints
from pipelines.artifacts.layout import Layout
from pipelines.config import TranslateConfig
from pipelines.project.lock import locked
from pipelines.search.loading import load_ensemble
from tests.cli.conftest import init_arguments, write_corpus
from tests.cli.test_fork import files
from tests.cli.train_process import TrainProcess

pytestmark = pytest.mark.slow

RATE = ("--set", "train.learning_rate=0.02")


@pytest.fixture
def pairs(project):
    (project / "src").write_text("a b\nc\n")
    (project / "tgt").write_text("A B\nC\n")
    (project / "list").write_text("0 ||| A B ||| lm= -1 ||| -1\n")
    return project


def commands(project):
    src, tgt = project / "src", project / "tgt"
    return {
        "translate": ["translate", "-i", src],
        "score": ["score", "--source", src, "--target", tgt],
        "rescore": ["rescore", "--nbest", project / "list", "--source", src],
    }


@pytest.mark.parametrize("command", ["translate", "score", "rescore"])
def test_changed_settings_are_logged_and_the_model_is_used_unchanged(
    s2s, pairs, command
):
    arguments = [*commands(pairs)[command], "-d", pairs]
    plain = s2s(*arguments)
    assert plain.status == 0
    assert "other settings" not in plain.err
    before = files(pairs)
    changed = (*RATE, "--set", "preprocess.max_ratio=3")
    found = s2s(*arguments, *changed)
    assert (found.status, found.out) == (0, plain.out)
    assert "the model was trained with other settings" in found.err
    assert "train.learning_rate: 0.01 -> 0.02" in found.err
    assert "preprocess.max_ratio: 9.0 -> 3.0" in found.err
    assert files(pairs) == before


@pytest.mark.parametrize("command", ["translate", "score", "rescore"])
def test_reading_a_model_needs_no_lock(s2s, pairs, command):
    with locked(Layout(pairs)):
        found = s2s(*commands(pairs)[command], "-d", pairs)
    assert found.status == 0


def test_checkpoints_may_be_deleted_while_they_are_read(s2s, project, caplog):
    every_step = (
        *("train.keep_last=1", "train.checkpoint_every_steps=1"),
        *("train.validate_every_epochs=0.04", "train.max_epochs=10000"),
    )
    options = [option for setting in every_step for option in ("--set", setting)]
    best = project / "train" / "best.json"
    best.unlink()
    training = TrainProcess(project, "--force", *options)
    try:
        training.wait_until(best.exists, "it has a best checkpoint")
        names: set[str] = set()
        while len(names) < 40:
            for path in (project, best.with_name("latest.json")):
                names |= set(load_ensemble([path], TranslateConfig()).names)
        assert training.popen.poll() is None
        found = s2s("verify", "-d", project)
        assert (found.status, "missing" in found.out) == (0, False)
    finally:
        training.popen.kill()
        training.end()
    assert "damaged" not in caplog.text


def test_a_training_that_was_stopped_translates_and_is_not_resumed(s2s, project):
    (project / "train" / "manifest.json").unlink()
    before = files(project)
    found = s2s("translate", "-d", project, stdin=b"a b\n")
    assert (found.status, found.lines) == (0, ["A B"])
    assert files(project) == before


def test_without_a_validation_the_newest_checkpoint_translates(s2s, project):
    (project / "train" / "best.json").unlink()
    for options in (["-d", project], ["-m", project]):
        assert s2s("translate", *options, stdin=b"a b\n").lines == ["A B"]


@pytest.mark.parametrize("command", ["translate", "score", "rescore"])
def test_without_a_project_a_model_can_be_named(s2s, pairs, command):
    (pairs / "s2s.toml").unlink()
    found = s2s(*commands(pairs)[command], "-d", pairs)
    assert (found.status, found.out) == (3, "")
    assert "hint: -m MODEL takes a checkpoint, which needs no project" in found.err
    assert s2s(*commands(pairs)[command], "-m", pairs).status == 0


@pytest.mark.parametrize("command", ["translate", "score", "rescore"])
def test_a_project_without_a_model_names_the_command_that_trains(s2s, pairs, command):
    shutil.rmtree(pairs / "train")
    before = files(pairs)
    found = s2s(*commands(pairs)[command], "-d", pairs)
    assert (found.status, found.out) == (3, "")
    assert "hint: s2s train" in found.err
    assert files(pairs) == before


def test_a_trained_project_needs_nothing_but_its_checkpoints(s2s, project):
    wanted = s2s("translate", "-d", project, stdin=b"a b\n\nc\n").out
    shutil.rmtree(project.parent / "data", ignore_errors=True)
    for stage in ("preprocess", "binarize", "translate", "score", ".s2s"):
        shutil.rmtree(project / stage)
    text = (project / "s2s.toml").read_text()
    (project / "s2s.toml").write_text(text.replace("/data/", "/gone/"))
    assert s2s("translate", "-d", project, stdin=b"a b\n\nc\n").out == wanted
    found = s2s("status", "-d", project, "--json")
    assert found.status == 0
    stages = {entry["stage"]: entry for entry in json.loads(found.out)}
    assert stages["preprocess"]["state"] == "missing"
    assert stages["train"]["state"] == "fresh"
    assert "not found: only settings are compared" in stages["train"]["why"]
    changed = s2s("status", "-d", project, *RATE, "--json")
    stages = {entry["stage"]: entry for entry in json.loads(changed.out)}
    assert stages["train"]["state"] == "stale"
    (project / "train" / "manifest.json").unlink()
    assert "training has not ended" in s2s("status", "-d", project, *RATE).out
    assert s2s("train", "-d", project).status == 2


@pytest.mark.parametrize("stage", ["train", "translate", "score"])
def test_without_the_text_what_is_up_to_date_is_not_run(s2s, project, stage):
    (project / "s2s.toml").write_text(
        (project / "s2s.toml").read_text().replace("/data/", "/gone/")
    )
    for folder in ("preprocess", "binarize", ".s2s"):
        shutil.rmtree(project / folder)
    before = files(project)
    commands = {"train": ["train"], "translate": ["translate", "--split", "test"]}
    for command in (commands.get(stage, [stage]), ["run", stage]):
        found = s2s(*command, "-d", project)
        assert found.status == 0
        assert f"WARNING {stage}: " in found.err
        assert "train.xx not found: only settings are compared" in found.err
        assert f"{stage} is up to date" in found.err
    assert files(project) == before
    forced = s2s(*commands.get(stage, [stage]), "--force", "-d", project)
    assert forced.status == 2
    assert "train.xx not found" in forced.err


def test_a_score_without_the_text_keeps_the_translation_that_is_there(s2s, project):
    s2s("translate", "-q", "-d", project, "--split", "test", "--beam", 1)
    wanted = s2s("score", "-q", "-d", project)
    assert wanted.status == 0
    (project / "s2s.toml").write_text(
        (project / "s2s.toml").read_text().replace("/data/", "/gone/")
    )
    shutil.rmtree(project / "preprocess")
    found = s2s("score", "-d", project)
    assert (found.status, found.out) == (0, wanted.out)
    assert s2s("run", "-d", project).status == 2  # its beam is another one
    assert s2s("score", "-d", project, "--lowercase").status == 2


def test_a_project_whose_own_vocabulary_is_missing_stays_fresh(s2s, tmp_path):
    data, demo = write_corpus(tmp_path / "data"), tmp_path / "demo"
    (tmp_path / "letters").write_text("".join(f"{c}\n" for c in "abcdef"))
    own = ("preprocess.source_vocab=../letters", "train.max_epochs=1")
    assert s2s(*init_arguments(data, demo, *own), "-q").status == 0
    assert s2s("run", "-q", "-d", demo).status == 0
    wanted = s2s("score", "-q", "-d", demo).out
    (tmp_path / "letters").unlink()
    found = s2s("status", "--json", "-d", demo)
    assert found.status == 0
    assert found.out.count('"fresh"') == 5
    assert s2s("score", "-q", "-d", demo).out == wanted
    assert s2s("train", "-d", demo).status == 0
    found = s2s("preprocess", "--force", "-d", demo)
    assert found.status == 2
    assert "hint: check preprocess.source_vocab in s2s.toml" in found.err


def test_the_translation_that_is_there_is_scored(s2s, project):
    greedy = ["--set", "translate.length_penalty=0"]
    s2s("translate", "-q", "-d", project, "--split", "test", "--beam", 1, *greedy)
    before = files(project / "translate")
    found = s2s("score", "-d", project)
    assert found.status == 0
    assert "translate.beam: 1 -> 8" in found.err
    assert "s2s translate --split test" in found.err
    assert files(project / "translate") == before
    again = s2s("score", "-d", project)
    assert "up to date" in again.err
    assert "translate.beam: 1 -> 8" in again.err
    stages = json.loads(s2s("status", "-d", project, "--json").out)
    assert {x["stage"]: x["state"] for x in stages}["translate"] == "stale"
    assert "translate: stale" in s2s("run", "-d", project).err
    assert "translate.beam" not in s2s("score", "-d", project).err


def test_the_validation_split_has_a_translation_and_a_score_of_its_own(s2s, project):
    before = files(project / "translate" / "test"), files(project / "score")
    assert s2s("translate", "-d", project, "--split", "valid").status == 0
    output = (project / "translate" / "valid" / "output.txt").read_text()
    assert len(output.splitlines()) == 40
    found = s2s("score", "-d", project, "--split", "valid", "--json")
    assert found.status == 0
    assert json.loads(found.out)["num_lines"] == 40
    assert (project / "score.valid" / "report.json").exists()
    assert (files(project / "translate" / "test"), files(project / "score")) == before
    assert "up to date" in s2s("score", "-d", project, "--split", "valid").err
    assert s2s("score", "-d", project, "--split", "train").status == 2
    (project / "score.valid" / "report.json").write_text("{}")
    assert "score.valid" in s2s("verify", "-d", project).out


def test_the_cost_of_a_training_is_logged_before_it_starts(s2s, tmp_path):
    data, demo = write_corpus(tmp_path / "data"), tmp_path / "demo"
    s2s(*init_arguments(data, demo, "train.max_steps=3"))
    found = s2s("score", "-d", demo)
    (cost,) = [line for line in found.err.splitlines() if "updates in all" in line]
    assert "3 updates in all, 0.06 epochs of 400 pairs, 25,689 parameters" in cost
    assert "MB of memory" in cost
    assert "MB of disk" in cost
    assert found.err.index(cost) < found.err.index("training on")
    assert checkpoints(demo / "train" / "checkpoints")

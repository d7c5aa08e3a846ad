"""Unknown options, repeated options and unknown variables are refused."""

import json
from typing import Any

import pytest
import typer

from pipelines.errors import UsageError
from s2scli.main import app
from s2scli.strict import StrictCommand
from tests.cli.conftest import init_arguments, write_corpus


@pytest.fixture
def new(s2s, tmp_path, monkeypatch):
    """The folder of a project that has not run, which is the current folder."""
    data = write_corpus(tmp_path / "data", (("train", 30), ("valid", 5), ("test", 5)))
    demo = tmp_path / "demo"
    assert s2s(*init_arguments(data, demo), "-q").status == 0
    monkeypatch.chdir(demo)
    return demo


def commands():
    groups: list[Any] = [typer.main.get_command(app)]
    while groups:
        for command in groups.pop().commands.values():
            if hasattr(command, "commands"):
                groups.append(command)
            else:
                yield command


def test_every_command_is_strict():
    found = list(commands())
    assert {"init", "train", "translate", "show"} <= {c.name for c in found}
    assert all(isinstance(command, StrictCommand) for command in found)


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (
            ["train", "--lr", "1"],
            "--lr is not an option of s2s train",
            "learning_rate=…",
        ),
        (["train", "--lr=1"], "--lr is not an option", "--set train.learning_rate=…"),
        (["train", "--attention"], "--attention is not an option", "no attention"),
        (["translate", "--beam_width", "5"], "--beam_width is not", "mean --beam?"),
        (["init", "--hidden-size", "9"], "s2s init", "mean --set model.cells=…?"),
        (["config", "show", "--jsno"], "of s2s config show", "mean --json?"),
        (["status", "--quux"], "--quux is not an option", "s2s status --help lists"),
        (["train", "-lr", "1"], "-lr is not an option", "--set train.learning_rate=…"),
        (["translate", "-beam_size", "5"], "-beam_size has one", "mean --beam-size?"),
        (["translate", "-model=x"], "-model=x has one hyphen", "mean --model?"),
        (["status", "-x"], "-x is not an option", "s2s status --help lists"),
    ],
)
def test_an_unknown_option_is_one_clear_error(s2s, arguments, message, hint):
    found = s2s(*arguments)
    assert (found.status, found.out) == (2, "")
    assert message in found.err
    assert hint in found.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["translate", "-i", "a", "-i", "b"], "-i/--input is given twice: a, b"),
        (["translate", "-ia", "--input=b"], "-i/--input is given twice: a, b"),
        (["translate", "--nbest", "3", "--n-best", "4"], "is given twice: 3, 4"),
        (["status", "-d", "x", "-d", "y", "-d", "z"], "is given 3 times: x, y, z"),
        (["status", "-d", "x", "-d", "x"], "-d/--dir is given twice: x, x"),
        (["score", "--cased", "--lowercase"], "--lowercase and --cased contradict"),
        (["config", "show", "-d", "x", "-d", "y"], "-d/--dir is given twice"),
    ],
)
def test_an_option_that_takes_one_value_is_given_once(s2s, arguments, message):
    found = s2s(*arguments)
    assert (found.status, found.out) == (2, "")
    assert message in found.err


def test_an_option_of_two_values_is_given_once_too():
    small = typer.Typer()

    @small.command(cls=StrictCommand)
    def command(pair: tuple[str, str] = ("", "")) -> None:
        pass

    run = typer.main.get_command(small)
    assert run.main(["--pair", "a", "b"], standalone_mode=False) is None
    with pytest.raises(UsageError, match="--pair is given twice: a b, c d"):
        run.main(["--pair", "a", "b", "--pair", "c", "d"], standalone_mode=False)


def test_flags_and_lists_may_be_repeated(s2s, new):
    found = s2s("status", "-q", "-q", "--quiet", "--json", "--json")
    assert found.status == 0
    sets = ["--set", "train.seed=2", "--set", "train.seed=3"]
    shown = s2s("config", "show", "train.seed", "--json", *sets)
    assert json.loads(shown.out)["train.seed"]["value"] == 3
    assert s2s("score", "--cased", "--cased", "--ref", "no").err.count("no not found")


def test_what_the_parser_itself_refuses_is_still_refused(s2s):
    assert s2s("translate", "--nbest").status == 2
    assert s2s("translate", "--nbest", "many").status == 2
    assert s2s("status", "extra", "words").status == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["status"],
        ["config", "show"],
        ["score", "--ref", "x"],
        ["translate", "-m", "x"],
        ["average", "a", "b", "-o", "c"],
        ["init", "elsewhere"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("variable", ["S2S_MODEL_CELLS", "S2S_CELLS"])
def test_an_unknown_variable_is_refused_by_every_command(
    s2s, new, monkeypatch, arguments, variable
):
    monkeypatch.setenv(variable, "77")
    found = s2s(*arguments)
    assert (found.status, found.out) == (2, "")
    assert f"environment variable {variable} is not a setting" in found.err
    assert "did you mean S2S_MODEL__CELLS?" in found.err
    assert not (new / "elsewhere").exists()
    assert s2s(*arguments[:1], "--help").status == 0


def test_variables_hold_without_a_project(s2s, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ref").write_text("A B\n")
    score = ["score", "--ref", tmp_path / "ref", "--json"]
    exact = json.loads(s2s(*score, stdin=b"a b\n").out)
    monkeypatch.setenv("S2S_SCORE__LOWERCASE", "true")
    lowercase = json.loads(s2s(*score, stdin=b"a b\n").out)
    assert exact != lowercase
    assert json.loads(s2s(*score, "--cased", stdin=b"a b\n").out) == exact
    monkeypatch.setenv("S2S_SCORE__LOWERCASE", "perhaps")
    found = s2s(*score, stdin=b"a b\n")
    assert found.status == 2
    assert "score.lowercase (S2S_SCORE__LOWERCASE): expected true or false" in found.err


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (
            ["--device", "gpu"],
            "--device gpu: expected auto, cpu, cuda or cuda:N",
            "cuda?",
        ),
        (["--length-penalty", "foo"], "--length-penalty foo: expected a number", ""),
        (["--search", "papr"], "--search papr: expected standard or paper", "paper?"),
    ],
)
def test_a_wrong_value_names_the_option_it_was_given_to(
    s2s, new, arguments, message, hint
):
    found = s2s("translate", *arguments)
    assert found.status == 2
    assert message in found.err
    assert hint in found.err
    assert "--set" not in found.err


def test_missing_training_text_is_answered_with_the_line_to_write(s2s, tmp_path):
    assert s2s("init", "--recipe", "small", "-q", tmp_path).status == 0
    found = s2s("preprocess", "-d", tmp_path)
    assert found.status == 2
    assert "data.train is not set" in found.err
    assert f'set train = ["SRC", "TGT"] in [data] of {tmp_path}/s2s.toml' in found.err


def test_one_setting_is_shown_with_origin_meaning_default_and_choices(s2s, new):
    lines = s2s("config", "show", "train.optimizer").lines
    assert lines == [
        'train.optimizer = "adam"',
        "origin: s2s.toml",
        "meaning: Optimizer; the paper uses sgd, without momentum.",
        'default: "sgd"',
        "choices: sgd, adam, adamw",
    ]
    shown = s2s("config", "show", "train", "--json", "--set", "train.seed=4")
    found = json.loads(shown.out)
    assert found["train.optimizer"]["choices"] == ["sgd", "adam", "adamw"]
    seed = found["train.seed"]
    assert (seed["value"], seed["default"], seed["choices"]) == (4, 1, None)
    assert seed["origin"] == "--set"
    assert seed["meaning"].startswith("Seed of")


def test_a_setting_that_is_set_twice_is_reported(s2s, new):
    same = s2s("status", "--set", "model.cells=8", "--set", "model.cells=8")
    assert "WARNING" not in same.err
    found = s2s("status", "--set", "model.cells=8", "--set", "model.cells=9")
    assert found.status == 0
    assert "WARNING --set model.cells: 9 replaces 8" in found.err


def test_init_refuses_an_option_beside_its_setting(s2s, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = s2s("init", "-s", "de", "-t", "en", "--set", "data.source_lang=fr")
    assert found.status == 2
    assert "data.source_lang is set twice" in found.err
    assert not list(tmp_path.iterdir())


def test_several_inputs_are_suggested_as_arguments(s2s, new):
    found = s2s("translate", "-i", "a", "-i", "b")
    assert found.err.endswith("hint: s2s translate a b\n")


def test_an_unknown_name_for_the_folder_is_answered_with_dir(s2s, new, monkeypatch):
    monkeypatch.setenv("S2S_DIR", "demo")
    found = s2s("status")
    assert found.status == 2
    assert "hint: the project's folder is s2s init DIR, and -d DIR" in found.err
    monkeypatch.delenv("S2S_DIR")
    assert "the project's folder is s2s init DIR" in s2s("init", "-d", "x").err

"""Usage errors: the fact and a hint on standard error, whoever finds them."""

import json

import pytest

MISTAKES = [
    (["frobnicate"], "frobnicate is not a command of s2s", "s2s --help"),
    (["trian"], "trian is not a command of s2s", "did you mean s2s train?"),
    (["config", "shwo"], "shwo is not a command", "did you mean s2s config show?"),
    (["--"], "missing command", "s2s --help"),
    (["--lr", "train"], "--lr is not an option of s2s", "--set train.learning_rate=…"),
    (["--beam", "5", "translate"], "--beam is not an option", "s2s translate --beam"),
    (["--quux", "status"], "--quux is not an option", "s2s status --help lists them"),
    (["--json"], "--json is not an option of s2s", "s2s COMMAND --help"),
    (["config", "--json", "show"], "of s2s config", "s2s config show --json"),
    (["average"], "s2s average needs -o/--output", "s2s average --help"),
    (["rescore", "--nbest", "x"], "s2s rescore needs --source", "s2s rescore --help"),
    (["train", "--num-gpus", "x"], "--num-gpus x: expected an integer", "train --help"),
    (["train", "--num-gpus", "0"], "--num-gpus 0: expected at least 1", "train --help"),
    (["translate", "-b", "0"], "-b/--beam/--beam-size 0: expected", "translate --help"),
    (["translate", "--temperature", "hot"], "hot: expected a number", "--help"),
    (["translate", "--nbest"], "--nbest requires an argument", "translate --help"),
    (["init", "--train", "a"], "--train requires 2 arguments", "init --help"),
    (["status", "--json=1"], "--json does not take a value", "status --help"),
    (
        ["train", "--log-format", "xml"],
        "--log-format xml: 'xml' is not",
        "train --help",
    ),
    (["score", "/", "--ref", "x"], "HYP: file '/' is a directory", "score --help"),
    (["status", "extra", "a b"], "takes no argument extra 'a b'", "s2s status --help"),
    (["run", "trian"], "trian is not a stage", "did you mean s2s run train?"),
    (["run", "everything"], "everything is not a stage", "s2s status"),
    (["train", "--fork", "--force"], "--fork continues", "leave one out"),
    (["train", "--json"], "--json prints the estimate", "s2s train --dry-run --json"),
    (["train", "--dry-run", "--fork"], "--fork has no meaning", "leave out --dry-run"),
    (["average", "-o", "x"], "expected either checkpoints", "s2s average --last 5"),
    (["translate", "--force"], "--force goes with --split", "--split test --force"),
]


@pytest.mark.parametrize(("arguments", "message", "hint"), MISTAKES)
def test_a_mistake_is_a_fact_and_a_hint(
    s2s, tmp_path, monkeypatch, arguments, message, hint
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s2s.toml").touch()
    found = s2s(*arguments)
    assert (found.status, found.out) == (2, "")
    fact, remedy = found.err.splitlines()
    assert fact.startswith("error: ")
    assert message in fact
    assert remedy.startswith("hint: ")
    assert hint in remedy


@pytest.mark.parametrize("option", [["--log-format", "json"], ["--log-format=json"]])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--num-gpus", "x"], "--num-gpus x: expected an integer"),
        (["trian"], "trian is not a command of s2s"),
        (["train", "--quux"], "--quux is not an option of s2s train"),
    ],
)
def test_a_log_for_machines_has_mistakes_as_json(s2s, option, arguments, message):
    found = s2s(*arguments, *option)
    assert (found.status, found.out) == (2, "")
    line = json.loads(found.err)
    assert (line["level"], line["message"]) == ("ERROR", message)
    assert line["hint"]
    assert s2s(*arguments).err.startswith("error: ")  # the choice does not last


def test_the_value_of_another_option_chooses_no_format(s2s):
    assert s2s("trian", "--", "--log-format", "json").err.startswith("error: ")


@pytest.mark.parametrize("group", [[], ["config"]])
def test_a_group_alone_shows_its_help_and_nothing_else(s2s, group):
    found = s2s(*group)
    assert (found.status, found.err) == (2, "")
    assert found.out.rstrip() == s2s(*group, "--help").out.rstrip()

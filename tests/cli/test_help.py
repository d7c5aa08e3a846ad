import re
import shlex
import subprocess
import sys
from typing import Any

import pytest
import typer

from s2scli.main import app

COMMANDS = (
    "init",
    "preprocess",
    "binarize",
    "train",
    "translate",
    "rescore",
    "score",
    "run",
    "status",
    "verify",
    "average",
    "config",
)


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_command_explains_itself(s2s, command):
    found = s2s(*command.split(), "--help")
    assert found.status == 0
    assert "Usage" in found.out
    assert found.err == ""


def test_help_names_every_command(s2s):
    found = s2s("--help")
    assert all(command in found.out for command in COMMANDS)


def test_version(s2s):
    assert s2s("--version").out.startswith("s2s 0.")


def test_the_options_of_all_commands_say_what_they_do(s2s):
    shown = " ".join(s2s("--help").out.split())
    assert "Show the version and exit." in shown


def test_no_command_shows_the_help(s2s):
    assert "Usage" in s2s().out + s2s().err


def leaves():
    """Every command without commands of its own, under the words that call it."""
    groups: list[Any] = [("s2s", typer.main.get_command(app))]
    while groups:
        above, group = groups.pop()
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                groups.append((f"{above} {name}", command))
            else:
                yield pytest.param(f"{above} {name}", command, id=name)


LEAVES = [*leaves()]


@pytest.mark.parametrize(("called", "command"), LEAVES)
def test_every_command_has_an_example_with_its_own_options(called, command):
    examples = re.findall(r"^Example: (.*)$", command.help, re.MULTILINE)
    assert examples
    options = {name for param in command.params for name in param.opts}
    for example in examples:
        assert example.startswith(called)
        used = {word for word in shlex.split(example) if word.startswith("-")}
        assert used <= options


@pytest.mark.parametrize(("called", "command"), LEAVES)
def test_a_help_fits_into_80_columns_line_by_line(called, command):
    assert all(len(line) <= 78 for line in command.help.splitlines())


@pytest.mark.parametrize(("called", "command"), LEAVES)
def test_every_option_is_explained_in_one_sentence(called, command):
    for param in command.params:
        assert re.fullmatch(r"[A-Z][^.]*(\.(gz|zst|toml|bak)[^.]*)*\.", param.help)


HEAVY = ("torch", "sacrebleu", "sacremoses", "sentencepiece", "numpy")


def loaded_by(code):
    program = f"import sys; {code}; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_the_command_line_loads_nothing_heavy():
    assert loaded_by("import s2scli.main") == "[]"


def test_asking_for_the_status_loads_nothing_heavy():
    assert loaded_by("import pipelines.project.status, pipelines.run") == "[]"

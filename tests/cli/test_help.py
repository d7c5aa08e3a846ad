import itertools
import os
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


def test_the_help_explains_the_version_option(s2s):
    shown = " ".join(s2s("--help").out.split())
    assert "Show the version and exit." in shown


def test_without_a_command_the_help_is_shown(s2s):
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
def test_a_paragraph_of_the_help_has_no_line_breaks(called, command):
    assert "\n" not in command.help.replace("\n\n", ""), called


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_a_paragraph_of_the_help_fills_the_width(width):
    done = subprocess.run(
        [sys.executable, "-m", "s2scli", "train", "--help"],
        env={k: v for k, v in os.environ.items() if k != "TERMINAL_WIDTH"}
        | {"COLUMNS": str(width)},
        capture_output=True,
        text=True,
        check=True,
    )
    prose = done.stdout.partition("╭")[0].splitlines()
    lines = [line.strip() for line in prose]
    for line, following in itertools.pairwise(lines):
        if line and following:
            word = following.split()[0]
            assert len(f" {line} {word} ") > width, line


@pytest.mark.parametrize("command", ["train", "translate", "config show"])
def test_the_help_shows_no_types_of_python(s2s, command):
    shown = s2s(*command.split(), "--help").out
    for name in ("bool", "str", "path", "list[Path]", "text|json"):
        assert f"<{name}>" not in shown


@pytest.mark.parametrize(("called", "command"), LEAVES)
def test_metavars_are_in_capitals(called, command):
    for param in command.params:
        if not getattr(param, "is_flag", False):
            assert param.metavar, param.name
            assert param.metavar == param.metavar.upper()


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

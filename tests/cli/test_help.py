import subprocess
import sys

import pytest

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
    assert loaded_by("import pipelines.plan, pipelines.run") == "[]"

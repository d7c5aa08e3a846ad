"""TAB completion in a real bash, and by the protocols of zsh and fish."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from pipelines.config import recipe_names
from s2scli.completion import join_words

ASK = """
source completion.sh
COMP_CWORD=$(( $# - 1 ))
COMP_WORDS=("$@")
_s2s_completion s2s
printf '%s\\n' "${COMPREPLY[@]}"
"""
OPTIMIZERS = [f"train.optimizer={name}" for name in ("sgd", "adam", "adamw")]
PROGRAM = """#!{python}
import sys
sys.path[:0] = {path}
from s2scli.main import main
main()
"""


@pytest.fixture(scope="session")
def environment(tmp_path_factory):
    """Variables with which a shell finds `s2s`."""
    folder = tmp_path_factory.mktemp("bin")
    program = folder / "s2s"
    program.write_text(PROGRAM.format(python=sys.executable, path=sys.path))
    program.chmod(0o755)
    return os.environ | {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


def split(line):
    """Split a line as readline does: runs of = and : are words, too."""
    for word in line.split(" "):
        yield from filter(None, re.split("([=:]+)", word)) if word else [""]


@pytest.fixture
def bash(s2s, monkeypatch):
    """Ask as bash's script does; returns the completions of the last word."""
    monkeypatch.setattr(sys.modules["__main__"], "__package__", "")

    def ask(line, folder="."):
        words = list(split(line))
        monkeypatch.chdir(folder)
        monkeypatch.setenv("COLUMNS", "40")
        monkeypatch.setenv("_S2S_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", "\n".join(words))
        monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
        found = s2s()
        monkeypatch.delenv("_S2S_COMPLETE")
        assert (found.status, found.err) == (0, "")
        return [line for line in found.out.splitlines() if line]

    return ask


@pytest.fixture
def ask(environment):
    """Ask as zsh's and fish's scripts do."""

    def run(shell, line, **variables):
        done = subprocess.run(
            ["s2s"],
            env=environment
            | {"_S2S_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": line}
            | variables,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr == ""
        return done.stdout

    return run


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("s2s init --recipe=s", ["small"]),
        ("s2s train --set train.opt", ["train.optimizer=", *OPTIMIZERS]),
        ("s2s train --set train.optimizer=a", ["adam", "adamw"]),
        ("s2s train --set train.optimizer=", ["sgd", "adam", "adamw"]),
        ("s2s translate -i ", [""]),  # bash's own completion of files follows
    ],
)
def test_a_real_bash_offers(environment, tmp_path, line, offered):
    with (tmp_path / "completion.sh").open("w") as file:
        variables = environment | {"_S2S_COMPLETE": "source_bash"}
        subprocess.run(["s2s"], env=variables, stdout=file, check=True)
    done = subprocess.run(
        ["bash", "-c", ASK, "bash", *split(line)],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout.splitlines(), done.stderr) == (offered, "")


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("s2s tr", ["train", "translate"]),
        ("s2s init --recipe ", recipe_names()),
        ("s2s init --recipe=s", ["small"]),
        ("s2s run ", ["preprocess", "binarize", "train", "translate", "score"]),
        ("s2s translate --split ", ["test", "valid"]),
        ("s2s translate --precision ", ["auto", "fp32", "tf32", "bf16", "int8"]),
        ("s2s score --precision=b", ["bf16"]),
        ("s2s train --device c", ["cpu", "cuda"]),
        ("s2s translate --search ", ["standard", "paper"]),
        ("s2s translate --unk ", ["allow", "forbid", "copy"]),
        ("s2s rescore --length-penalty ", ["average", "0.6"]),
        ("s2s status --log-format ", ["text", "json"]),
        ("s2s config show tra", ["train", "translate"]),
        ("s2s config show train.warm", ["train.warmup_steps"]),
        ("s2s train --set tra", ["train.", "translate."]),
        ("s2s train --set reci", ["recipe=", *(f"recipe={n}" for n in recipe_names())]),
        ("s2s init --set train.max_e", ["train.max_epochs=", "train.max_epochs=7.5"]),
        ("s2s train --set train.optimizer=", ["sgd", "adam", "adamw"]),
        ("s2s train --set train.optimizer=a", ["adam", "adamw"]),
        ("s2s train --set=train.optimizer=a", ["adam", "adamw"]),
        ("s2s train --set train.tensorboard=t", ["true"]),
        ("s2s train --set train.seed=1 --set model.bias=", ["true", "false"]),
        ("s2s train --set train.seed=1 --device ", ["auto", "cpu", "cuda"]),
        ("s2s train --set train.device=cuda:", []),
        ("s2s train --set train.nothing=", []),
    ],
)
def test_bash_is_offered(bash, tmp_path, line, offered):
    assert bash(line, tmp_path) == offered


def test_the_only_key_is_offered_with_its_values_so_that_no_space_follows(
    bash, tmp_path
):
    assert bash("s2s train --set train.best", tmp_path) == [
        "train.best_by=",
        "train.best_by=perplexity",
        "train.best_by=bleu",
    ]


def test_the_current_value_is_that_of_the_project(bash, project, tmp_path):
    line = "s2s train --set train.batch_size="
    assert bash(line, project) == ["8"]
    assert bash(f"s2s train -d {project} --set train.batch_size=", tmp_path) == ["8"]
    assert bash(line, tmp_path) == ["128"]
    (project / "s2s.toml").write_text("no TOML")
    assert bash(line, project) == ["128"]


def test_every_setting_is_offered(bash, s2s, project, tmp_path):
    shown = s2s("config", "show", "--json", "-d", project)
    _recipe, *sections = bash("s2s train --set ", tmp_path)
    keys = [
        key for name in sections for key in bash(f"s2s train --set {name}", tmp_path)
    ]
    offered = {key.partition("=")[0] for key in keys}
    assert {"recipe", *offered} == set(json.loads(shown.out))


def test_models_are_projects_checkpoints_and_averages(bash, s2s, project):
    root = project.parent
    names = sorted(p.name for p in (project / "train" / "checkpoints").glob("step-*"))
    checkpoints = [f"train/checkpoints/{name}" for name in names]
    assert len(names) == 2
    paths = [project / name for name in checkpoints]
    assert s2s("average", *paths, "-o", root / "mean").status == 0
    (root / "a folder").mkdir()
    (root / "text.txt").write_text("")
    below = [f"project/{name}" for name in checkpoints]
    assert bash("s2s translate -m ", root) == ["project", "mean", *below]
    assert bash("s2s translate -m project/t", root) == below
    assert bash("s2s score --model ", project) == checkpoints
    assert bash("s2s score --model train/", project) == checkpoints
    assert bash("s2s average -o x ", root) == below
    assert bash(f"s2s average -o x {below[0]} me", root) == []


@pytest.mark.parametrize(
    ("words", "joined", "kept"),
    [
        (["s2s", "train"], ["s2s", "train"], ""),
        (["s2s", "a", "=", ""], ["s2s", "a=", ""], ""),
        (["s2s", "a", "="], ["s2s", "a="], "a="),
        (["s2s", "a", "=", "b"], ["s2s", "a=b"], "a="),
        (["s2s", "a", "=", "b", "c"], ["s2s", "a=b", "c"], ""),
        (["s2s", "a", "=", "b", ":", "1"], ["s2s", "a=b:1"], "a=b:"),
        (["s2s", "a=b"], ["s2s", "a=b"], ""),
    ],
)
def test_words_that_bash_split_are_joined(words, joined, kept):
    assert join_words(words) == (joined, kept)


def test_zsh_gets_whole_words_and_their_meaning_on_one_line(ask):
    assert ask("zsh", "s2s train --set train.optimizer=adamw").strip() == (
        """_arguments '*: :(("train.optimizer=adamw"))'"""
    )
    found = ask("zsh", "s2s config show data", COLUMNS="40").splitlines()
    assert found[0].endswith(
        '[source, target] for each split, or a list of such pairs."'
    )
    assert len(found) == 6


def test_fish_gets_a_line_for_each_candidate(ask):
    action = {"_TYPER_COMPLETE_FISH_ACTION": "get-args", "COLUMNS": "40"}
    found = ask("fish", "s2s config show train.precision", **action).splitlines()
    assert len(found) == 1
    assert found[0].startswith("train.precision\tPrecision of matrix multiplications; ")


@pytest.mark.skipif(shutil.which("zsh") is None, reason="needs zsh")
def test_zsh_understands_every_answer(ask):
    for line in ("s2s config show train", "s2s train --set train.", "s2s run "):
        program = "_arguments() { print -r -- $#; }; " + ask("zsh", line)
        done = subprocess.run(
            ["zsh", "-fc", program],
            capture_output=True,
            text=True,
            check=True,
        )
        assert (done.stdout, done.stderr) == ("1\n", "")

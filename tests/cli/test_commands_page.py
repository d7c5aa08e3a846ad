"""docs/commands.md: its tables agree with the commands."""

import os
import re
import shutil
from collections import defaultdict
from pathlib import Path

import pytest
import typer

from pipelines import run
from pipelines.artifacts.layout import STAGES
from s2scli.main import app
from tests.cli.conftest import init_arguments, write_corpus

PAGE = Path(__file__).parents[2] / "docs" / "commands.md"
OPTIONS = "## Options\n"


def rows():
    """The first table: command -> cells."""
    text = PAGE.read_text(encoding="utf-8")
    table = text.partition("| command | reads |")[2].partition("\n\n")[0]
    cells = [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]
    return {row[0].strip("`").removeprefix("s2s "): row[1:] for row in cells}


def stages(cell):
    return [name for name in re.findall(r"`(\w+)`", cell) if name in STAGES]


def arguments(command, project):
    """A call of the command as the table writes it."""
    files = {
        "translate < FILE": ["translate"],
        "rescore": [
            *("rescore", "--nbest", project / "list", "--source", project / "src"),
        ],
        "score --ref FILE": ["score", "--ref", project / "src"],
        "score --source FILE --target FILE": [
            *("score", "--source", project / "src", "--target", project / "src"),
        ],
        "average": ["average", "--last", "2", "-o", project / "average"],
        "run STAGE": ["run", "binarize"],
        "config show": ["config", "show"],
    }
    return [*files.get(command, command.split()), "-d", project]


@pytest.fixture
def untrained(s2s, tmp_path):
    """A project that has no artifact yet."""
    data, project = write_corpus(tmp_path / "data"), tmp_path / "project"
    assert s2s(*init_arguments(data, project)).status == 0
    (project / "src").write_text("a\n")
    (project / "list").write_text("0 ||| A ||| lm= -1 ||| -1\n")
    return project


@pytest.mark.parametrize("command", [name for name in rows() if name != "init"])
def test_a_command_starts_the_stages_of_its_row(s2s, untrained, monkeypatch, command):
    started = []
    monkeypatch.setattr(run, "_run_stage", lambda stage, *_: started.append(stage))
    monkeypatch.setattr("pipelines.estimate.cost.log_cost", lambda *_, **__: None)
    s2s(*arguments(command, untrained), stdin=b"a\n")
    wanted = stages(rows()[command][2])
    if command == "run STAGE":
        wanted = ["preprocess", "binarize"]
    assert started == wanted


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", [name for name in rows() if name not in ("init", "average")]
)
def test_a_command_writes_what_its_row_says(s2s, project, command):
    (project / "src").write_text("a\n")
    (project / "list").write_text("0 ||| A ||| lm= -1 ||| -1\n")
    shutil.rmtree(project / ".s2s")
    force = ["--force"] if rows()[command][2] != "-" else []
    before = snapshot(project)
    found = s2s(*arguments(command, project), *force, stdin=b"a\n")
    assert found.status == 0, found.err
    changed = {path.parts[0] for path in snapshot(project) ^ before} - {".s2s"}
    wanted = set(re.findall(r"`(\w+)/", rows()[command][1]))
    if command == "run":
        wanted = {"score"}
    if command == "run STAGE":
        wanted = {"binarize"}
    if command == "train":  # --force keeps the earlier training
        changed = {re.sub(r"\.kept-\w+", "", name) for name in changed}
    assert changed == wanted


def snapshot(folder):
    """Every file with its time."""
    return {
        Path(str(path.relative_to(folder))) / str(path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


# Options -----------------------------------------------------------------------------


def commands(group=None, name=""):
    group = group or typer.main.get_command(app)
    for own, command in group.commands.items():
        full = f"{name} {own}".strip()
        if hasattr(command, "commands"):
            yield from commands(command, full)
        else:
            yield full, command


def option_table():
    """Return a table with a row for each option and meaning."""
    found = defaultdict(list)
    for name, command in commands():
        for parameter in command.params:
            names = [*parameter.opts, *parameter.secondary_opts]
            if not names[0].startswith("-") or "--help" in names:
                continue
            shown = ", ".join(f"`{n}`" for n in sorted(names, key=len))
            found[shown, " ".join(parameter.help.split())].append(name)
    lines = ["| option | commands | meaning |", "| --- | --- | --- |"]
    for (shown, meaning), users in sorted(found.items(), key=sort_key):
        where = "all" if len(users) == len(list(commands())) else ", ".join(users)
        lines.append(f"| {shown} | {where} | {meaning.replace('|', chr(92) + '|')} |")
    return "\n".join(lines) + "\n"


def sort_key(item):
    (shown, meaning), _ = item
    return (re.findall(r"--([\w-]+)", shown)[0], meaning)


def test_the_table_of_options_agrees_with_the_program():
    head, _, found = PAGE.read_text(encoding="utf-8").partition(OPTIONS)
    text, _, _ = found.partition("| option |")
    if os.environ.get("REWRITE_GOLDEN"):
        PAGE.write_text(head + OPTIONS + text + option_table(), encoding="utf-8")
        return
    assert found.removeprefix(text) == option_table(), "`make golden` writes it"


def test_a_letter_has_one_meaning():
    longs = defaultdict(set)
    for name, command in commands():
        for parameter in command.params:
            letters = [n for n in parameter.opts if n.startswith("-") and n[1] != "-"]
            long = [n for n in parameter.opts if n.startswith("--")]
            for letter in letters:
                longs[letter].add(long[0])
            assert len(letters) <= 1, name
    assert {letter: names for letter, names in longs.items() if len(names) > 1} == {}


def test_an_option_has_its_letter_in_every_command():
    letters = defaultdict(set)
    for _, command in commands():
        for parameter in command.params:
            long = [n for n in parameter.opts if n.startswith("--")]
            short = [n for n in parameter.opts if n.startswith("-") and n[1] != "-"]
            for name in long[:1]:
                letters[name].add(tuple(short))
    assert {name: found for name, found in letters.items() if len(found) > 1} == {}

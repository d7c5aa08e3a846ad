import ast
from itertools import islice
from pathlib import Path

import pytest

from pipelines.artifacts import layout
from pipelines.artifacts.layout import (
    STAGES,
    Layout,
    backup_names,
    checkpoint_name,
    part_files,
    part_name,
    shard_name,
)

ROOT = Path(__file__).parents[2]
WORDS = {"average", "checkpoint", "test", "text"}
"""Names on disk that are ordinary words: keys and choices spell them, too."""
EXCEPTIONS = {
    "pipelines/artifacts/layout.py": "the owner",
    "s2scli/completion.py": "glob patterns of paths",
    "pipelines/config/section.py": "the settings file, below layout in the imports",
}
SUFFIXES = (".part", ".bak", ".aside-", ".kept-")


def names_on_disk():
    constants = (x for name, x in vars(layout).items() if name.isupper())
    return {x for x in constants if isinstance(x, str)} - WORDS


def string_literals(source):
    """Line and text of each string in code: constants and pieces of f-strings."""
    nodes = list(ast.walk(ast.parse(source)))
    docstrings = [node.value for node in nodes if isinstance(node, ast.Expr)]
    return [
        (node.lineno, node.value)
        for node in nodes
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node not in docstrings
    ]


def spelled_names(source):
    """Names on disk that the code spells: whole strings, or pieces of a path."""
    names = names_on_disk()
    for number, text in string_literals(source):
        pieces = text.split("/") if " " not in text else [text]
        if names.intersection(pieces) or text.startswith(SUFFIXES):
            yield number, text


def test_no_name_on_disk_is_spelled_outside_layout():
    found = [
        f"{name}:{number}: {text!r}"
        for package in ("pipelines", "s2scli")
        for path in sorted((ROOT / package).rglob("*.py"))
        if (name := str(path.relative_to(ROOT))) not in EXCEPTIONS
        for number, text in spelled_names(path.read_text())
    ]
    assert found == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('path / "checkpoints"', ["checkpoints"]),
        ('f"{folder}/train/output.txt"', ["/train/output.txt"]),
        ('f"{name}.part"', [".part"]),
        ('"""output.txt"""', []),
        ('hint = "look at train/metrics.jsonl for more"', []),
    ],
)
def test_a_spelled_name_is_found_in_code_but_not_in_prose(source, found):
    assert [text for _, text in spelled_names(source)] == found


def test_each_stage_has_a_folder_of_its_name(tmp_path):
    project = Layout(tmp_path)
    folders = [project.stage(stage).relative_to(tmp_path) for stage in STAGES]
    assert [folder.parts[0] for folder in folders] == list(STAGES)


def test_the_validation_split_has_folders_of_its_own(tmp_path):
    valid = Layout(tmp_path, split="valid")
    assert valid.translate == tmp_path / "translate" / "valid"
    assert valid.score == tmp_path / "score.valid"
    assert valid.train == Layout(tmp_path).train


def test_earlier_trainings_lie_beside_the_present_one(tmp_path):
    project = Layout(tmp_path)
    assert project.train_aside("abc") == tmp_path / "train.aside-abc"
    assert project.train_kept("abc") == tmp_path / "train.kept-abc"


def test_names_are_numbered_so_that_they_sort():
    assert part_name("train", 7, "src") == "train.00007.src"
    assert shard_name("valid", 12) == "valid.00012.safetensors"
    assert checkpoint_name(1200) == "step-00001200"


def test_files_beside_another_take_its_name(tmp_path):
    assert part_files(tmp_path / "out.gz") == (
        tmp_path / "out.gz.part",
        tmp_path / "out.gz.part.json",
    )
    backups = islice(backup_names(tmp_path / "s2s.toml"), 3)
    assert [path.name for path in backups] == [
        "s2s.toml.bak",
        "s2s.toml.bak2",
        "s2s.toml.bak3",
    ]

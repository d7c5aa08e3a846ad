"""The commands in README.md, run unchanged."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import write_corpus

README = Path(__file__).parents[2] / "README.md"
TINY = {
    "S2S_PREPROCESS__MIN_COUNT": "1",
    "S2S_PREPROCESS__WORKERS": "1",
    "S2S_BINARIZE__WORKERS": "1",
    "S2S_MODEL__CELLS": "8",
    "S2S_MODEL__EMBEDDING_SIZE": "8",
    "S2S_TRAIN__MAX_STEPS": "3",
    "S2S_TRAIN__THREADS": "1",
    "S2S_SCORE__BOOTSTRAP_SAMPLES": "10",
}


def blocks():
    text = README.read_text(encoding="utf-8")
    return re.findall(r"^```\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.slow
def test_the_session_in_the_readme_works_unchanged(tmp_path):
    (session,) = [block for block in blocks() if "s2s preprocess" in block]
    write_corpus(tmp_path)
    for path in tmp_path.glob("*.[xy][xy]"):
        path.rename(path.with_suffix(".de" if path.suffix == ".xx" else ".en"))
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "input.txt").write_text("a b\n\nc\n")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", session],
        cwd=tmp_path,
        env={**os.environ, **TINY, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "demo" / "output.txt").read_text().split("\n")) == 4
    assert "BLEU, tokenised" in done.stdout
    assert "tok:13a" in done.stdout


def test_the_readme_names_every_command_and_recipe(s2s):
    from pipelines.config import recipe_names

    text = README.read_text(encoding="utf-8")
    assert all(f"| `{name}` |" in text for name in recipe_names())
    for command in ("init", "run", "status", "verify", "average", "config show"):
        assert f"`s2s {command}" in text


def test_the_readme_names_every_page_of_the_documentation():
    text = README.read_text(encoding="utf-8")
    for page in (README.parent / "docs").glob("*.md"):
        assert f"(docs/{page.name})" in text


def modules(folder):
    return {path.stem for path in folder.glob("*.py")} - {"__init__", "__main__"}


def test_the_map_names_every_module_once():
    text = README.read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| `((?:s2scli|pipelines)\S*)/` \| (.*) \|$", text, re.MULTILINE
    )
    named = {folder: re.findall(r"`(\w+)`", cell) for folder, cell in rows}
    packages = {
        str(path.parent.relative_to(README.parent))
        for package in ("s2scli", "pipelines")
        for path in (README.parent / package).rglob("__init__.py")
    }
    assert set(named) == packages
    for folder, names in named.items():
        assert sorted(names) == sorted(modules(README.parent / folder))

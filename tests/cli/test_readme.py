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


@pytest.mark.parametrize("name", ["architecture", "artifacts", "deviations"])
def test_the_pages_it_points_to_are_there(name):
    assert (README.parent / "docs" / f"{name}.md").is_file()
    assert f"docs/{name}.md" in README.read_text(encoding="utf-8")

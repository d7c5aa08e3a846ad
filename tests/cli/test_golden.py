"""Outputs and files compared byte by byte; `make golden` rewrites them for review."""

import json
import os
from pathlib import Path

import pytest

from pipelines.config import recipe_names

GOLDEN = Path(__file__).parents[1] / "golden"


def compare(name, found):
    path = GOLDEN / name
    if os.environ.get("REWRITE_GOLDEN"):
        path.write_text(found, encoding="utf-8")
    assert found == path.read_text(encoding="utf-8"), (
        "`make golden`, then read the diff"
    )


@pytest.mark.parametrize("recipe", recipe_names())
def test_settings_of_each_recipe(s2s, tmp_path, recipe):
    files = []
    for split in ("train", "valid", "test"):
        files.append(f"--{split}")
        for side in ("en", "fr"):
            path = tmp_path / f"{split}.{side}"
            path.write_text("a\n")
            files.append(path)
    assert s2s("init", "--recipe", recipe, *files, tmp_path).status == 0
    found = s2s("config", "show", "-d", tmp_path).out
    compare(f"config.{recipe}.txt", found.replace(str(tmp_path), "DIR"))


LINES = {
    "train": [("a b c", "A B C"), ("", "X"), ("b\u2028c", "B C"), ("</s> a", "A")],
    "valid": [("a", "A")],
    "test": [("c b", "C B"), ("", "")],
}


@pytest.fixture
def preprocessed(s2s, tmp_path):
    files = []
    for split, pairs in LINES.items():
        files.append(f"--{split}")
        for side, lines in zip(("xx", "yy"), zip(*pairs, strict=True), strict=True):
            path = tmp_path / f"{split}.{side}"
            path.write_bytes("".join(f"{line}\n" for line in lines).encode())
            files.append(path)
    settings = (
        "preprocess.tokenizer=none",
        "preprocess.min_count=1",
        "preprocess.workers=1",
        "binarize.workers=1",
    )
    sets = [option for text in settings for option in ("--set", text)]
    files += ["-s", "en", "-t", "fr"]
    assert s2s("init", "--recipe", "small", *files, *sets, tmp_path).status == 0
    assert s2s("binarize", "-q", "-d", tmp_path).status == 0
    return tmp_path


def test_token_files_vocabularies_and_ledger(preprocessed):
    folder = preprocessed / "preprocess"
    names = sorted(p for p in folder.rglob("*") if p.suffix not in (".json",))
    text = "".join(
        f"== {path.relative_to(folder)}\n{path.read_text(encoding='utf-8')}"
        for path in names
        if path.is_file()
    )
    compare("preprocess.txt", text)


@pytest.mark.parametrize("stage", ["preprocess", "binarize"])
def test_manifests(preprocessed, stage):
    manifest = json.loads((preprocessed / stage / "manifest.json").read_text())
    for changing in ("environment", "sha256"):
        assert manifest.pop(changing)
    compare(f"manifest.{stage}.json", json.dumps(manifest, indent=2) + "\n")


def test_status(s2s, preprocessed):
    compare("status.txt", s2s("status", "-d", preprocessed).out)

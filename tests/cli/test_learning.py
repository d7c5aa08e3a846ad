"""Real learning, in minutes: only in `make test-all`."""

import json

import pytest

from tests.golden_data import golden_path

pytestmark = pytest.mark.learning


def exact_match(result):
    metrics = {m["name"]: m["value"] for m in json.loads(result.out)["metrics"]}
    return metrics["exact_match"]


def test_the_numbers_recipe_translates_unseen_numbers(s2s, tmp_path):
    demo = tmp_path / "demo"
    assert s2s("init", "--recipe", "numbers", demo).status == 0
    assert exact_match(s2s("score", "-q", "--json", "-d", demo)) >= 99.0


def test_scan_is_solved(s2s, tmp_path):
    demo = tmp_path / "scan"
    arguments = ["init", "--recipe", "small", "-s", "en", "-t", "en"]
    for split in ("train", "valid", "test"):
        names = (f"scan-simple/{split}.{side}.gz" for side in ("cmd", "act"))
        arguments += [f"--{split}", *(str(golden_path(name)) for name in names)]
    settings = (
        "preprocess.tokenizer=none",
        "preprocess.min_count=1",
        "model.cells=200",
        "model.layers=2",
        "model.dropout=0.2",
        "train.label_smoothing=0.0",
    )
    for text in settings:
        arguments += ["--set", text]
    assert s2s(*arguments, demo).status == 0
    assert exact_match(s2s("score", "-q", "--json", "-d", demo)) >= 99.0

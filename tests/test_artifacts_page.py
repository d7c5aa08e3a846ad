"""docs/artifacts.md: its tree and tables name the files and fields of a real run."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest

from pipelines.artifacts import layout
from pipelines.artifacts.report import METRIC_LABELS
from s2scli.main import main
from tests.cli.conftest import init_arguments, write_corpus

PAGE = (Path(__file__).parents[1] / "docs" / "artifacts.md").read_text("utf-8")
TREE = PAGE.partition("```\n")[2].partition("```")[0]
SETTINGS = (
    "preprocess.tokenizer=sentencepiece",
    "preprocess.target_tokenizer=none",
    "preprocess.sentencepiece_vocab_size=12",
    "train.max_epochs=2",
    "train.validate_every_epochs=1",
    "train.valid_bleu=true",
)
FILES = [
    "manifest.json",
    "pipeline.json",
    "run.json",
    "metrics.jsonl",
    "latest.json",
    "best.json",
    "model.json",
    "trainer.json",
    "report.json",
]


def s2s(*arguments, status=0):
    sys.argv = ["s2s", *map(str, arguments)]
    with pytest.raises(SystemExit) as caught:
        main()
    assert (caught.value.code or 0) == status


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with every kind of artifact, written by the commands."""
    root, before = tmp_path_factory.mktemp("page"), sys.argv
    data = write_corpus(root / "data", (("train", 200), ("valid", 9), ("test", 9)))
    folder = root / "project"
    s2s(*init_arguments(data, folder, *SETTINGS))
    s2s("run", "-q", "-d", folder)
    s2s("score", "-q", "-d", folder, "--split", "valid")
    s2s("average", "-q", "-d", folder, "--last", "2", "-o", folder / "average")
    forked = ("--set", "train.learning_rate=0.02", "--set", "train.max_epochs=3")
    s2s("train", "-q", "-d", folder, "--fork", *forked)
    diverging = ("--set", "train.learning_rate=1e38", "--set", "train.optimizer=sgd")
    shutil.copytree(folder, root / "diverged")
    s2s("train", "-q", "-d", root / "diverged", "--force", *diverging, status=1)
    (root / "diverged" / "train").rename(folder / "train.diverged")
    sys.argv = before
    return folder


def section(file):
    """The part of the page whose heading names the file."""
    for text in PAGE.split("\n## ")[1:]:
        if file in text.partition("\n")[0].split(" and "):
            return text
    raise AssertionError(f"no section on {file}")


def listed(file):
    """The fields in the table of a file: `settings`, `best.bleu`."""
    rows = re.findall(r"^\| (`.*?`) \|", section(file), flags=re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`([\w.]+)`", row)}


def fields(value, nested):
    """The fields of a JSON object, with those of its objects named in `nested`."""
    found = set()
    for name, content in value.items():
        inner = content if isinstance(content, list) else [content]
        if name in nested:
            found |= {f"{name}.{key}" for item in inner if item for key in item}
        else:
            found.add(name)
    return found


@pytest.mark.parametrize("file", FILES)
def test_the_table_of_a_file_lists_its_fields(project, file):
    nested = {name.partition(".")[0] for name in listed(file) if "." in name}
    written = set()
    for path in project.rglob(file):
        text = path.read_text("utf-8")
        objects = text.splitlines() if path.suffix == ".jsonl" else [text]
        for content in objects:
            written |= fields(json.loads(content), nested)
    assert listed(file) == written


def test_a_line_of_metrics_has_the_fields_of_its_kind(project):
    rows = re.findall(
        r"^\| `(\w+)` \| (.*?) \|", section("metrics.jsonl"), flags=re.MULTILINE
    )
    texts = [path.read_text("utf-8") for path in project.rglob("metrics.jsonl")]
    lines = [json.loads(line) for text in texts for line in text.splitlines()]
    assert {line["kind"] for line in lines} == {"train", "valid", "diverged"}
    for line in lines:
        kinds = ("all", f"`{line['kind']}`")
        assert line.keys() == {name for name, kind in rows if kind in kinds}


def test_the_table_of_the_report_names_the_metrics():
    (row,) = [line for line in section("report.json").split("\n") if ".name`" in line]
    assert re.findall(r"`(\w+)`", row) == list(METRIC_LABELS)


def tree_names():
    """The names in the tree, without folders' slashes; `checkpoints/x` is two."""
    firsts = [line.split()[0] for line in TREE.splitlines()]
    return {name for first in firsts for name in first.rstrip("/").split("/")}


def test_the_tree_has_the_names_of_the_layout():
    names = {
        value
        for name, value in vars(layout).items()
        if name.isupper() and isinstance(value, str)
    }
    names -= {layout.CHECKPOINT, layout.AVERAGE}  # in manifests
    names -= {layout.STEP}  # a prefix
    assert names - tree_names() == set()
    for name in (
        layout.part_name("train", 0, "src"),
        layout.part_name("train", 0, "tgt"),
        layout.shard_name("train", 0),
        layout.checkpoint_name(1200),
    ):
        assert name in tree_names()


def test_the_tree_has_the_names_of_a_run(project):
    names = set()
    for path in project.rglob("*"):
        name = re.sub(r"^(train|valid|test)\.\d{5}\.", "train.00000.", path.name)
        name = re.sub(r"^step-\d+$", "step-00001200", name)
        names.add(re.sub(r"^train\.aside-\w+$", "train.aside-<run>", name))
    names -= {"average", "train.diverged"}  # of this test
    assert names - tree_names() == set()
    missing = {"train.kept-<run>", "target.spm", "tensorboard"}
    assert tree_names() - names == missing


def test_the_files_of_an_interrupted_output_are_named():
    for path in layout.part_files(Path("OUTPUT")):
        assert f"`{path.name}`" in PAGE

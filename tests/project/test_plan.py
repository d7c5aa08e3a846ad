import os

import pytest

from pipelines.artifacts.layout import STAGES, Layout
from pipelines.artifacts.manifest import write_manifest
from pipelines.config import load
from pipelines.errors import CorpusError
from pipelines.project import input_files, plan
from pipelines.project.plan import State

TOML = """
recipe = "small"
[data]
train = ["train.en", "train.fr"]
valid = ["valid.en", "valid.fr"]
test = ["test.en", "test.fr"]
"""


@pytest.fixture
def layout(tmp_path):
    (tmp_path / "s2s.toml").write_text(TOML)
    for split in ("train", "valid", "test"):
        for side in ("en", "fr"):
            (tmp_path / f"{split}.{side}").write_text(f"{split} {side}\n")
    return Layout(tmp_path)


def config(layout, *overrides):
    return load(layout.root, overrides=overrides).config


def complete(layout, *stages):
    """Write the manifests that these stages would have written."""
    for stage in stages:
        folder = layout.stage(stage)
        folder.mkdir(parents=True, exist_ok=True)
        write_manifest(folder, plan.new_manifest(stage, config(layout), layout, {}))


def states(layout, *overrides):
    return {
        s.stage: s.state
        for s in plan.stage_statuses(config(layout, *overrides), layout)
    }


def test_a_new_project_misses_everything(layout):
    assert set(states(layout).values()) == {State.MISSING}


def test_a_finished_project_is_fresh_and_reads_its_text_once(layout, monkeypatch):
    complete(layout, *STAGES)
    # remembered: nothing is read again
    monkeypatch.setattr(input_files, "hash_file", None)
    assert set(states(layout).values()) == {State.FRESH}


@pytest.mark.parametrize(
    ("override", "stale"),
    [
        ("preprocess.lowercase=true", STAGES),
        ("data.source_lang=de", STAGES),
        ("train.learning_rate=0.5", ("train", "translate", "score")),
        ("model.cells=3", ("train", "translate", "score")),
        ("translate.beam=3", ("translate",)),  # what is there is scored
        ("translate.min_length=2", ("translate",)),
        ("translate.sample=true", ("translate",)),
        ("translate.top_k=5", ()),
        ("score.lowercase=true", ("score",)),
        ("train.device=cpu", ()),
        ("preprocess.workers=2", ()),
        ("translate.batch_size=3", ()),
    ],
)
def test_a_setting_makes_its_stage_and_all_after_it_stale(layout, override, stale):
    complete(layout, *STAGES)
    found = states(layout, override)
    assert [s for s in STAGES if found[s] is State.STALE] == list(stale)


def test_the_reason_names_setting_and_values(layout):
    complete(layout, *STAGES)
    found = plan.stage_statuses(config(layout, "train.learning_rate=0.5"), layout)
    assert found[2].reason == "train.learning_rate: 0.002 -> 0.5"
    assert found[3].reason == "train changed"


def test_a_setting_that_is_not_recorded_had_its_default(layout):
    complete(layout, *STAGES)
    found = plan.stage_statuses(config(layout, "translate.min_length=2"), layout)
    assert found[3].reason == "translate.min_length: 0 -> 2"


def test_changed_text_makes_everything_stale(layout):
    complete(layout, *STAGES)
    (layout.root / "train.en").write_text("other text\n")
    assert states(layout)["preprocess"] is State.STALE
    assert "train.src changed" in plan.stage_statuses(config(layout), layout)[0].reason


def test_touching_a_file_changes_nothing(layout):
    complete(layout, *STAGES)
    os.utime(layout.root / "train.en", (1, 1))
    assert set(states(layout).values()) == {State.FRESH}


def test_text_that_is_gone_is_taken_as_unchanged(layout):
    complete(layout, *STAGES)
    (layout.root / "train.en").unlink()
    assert set(states(layout).values()) == {State.FRESH}
    found = plan.standing("preprocess", config(layout), layout)
    assert found.reason == "train.en not found: taken as unchanged"
    typo = config(layout, 'data.train=["trian.en", "train.fr"]')
    assert "trian.en not found" in plan.standing("preprocess", typo, layout).reason


def test_text_that_was_never_there_is_an_error(layout):
    (layout.root / "train.en").unlink()
    with pytest.raises(CorpusError, match=r"train\.en not found"):
        plan.identity("preprocess", config(layout), layout)


def test_a_damaged_manifest_is_told(layout):
    complete(layout, *STAGES)
    path = layout.binarize / "manifest.json"
    path.write_text(path.read_text().replace("binarize", "binarise"))
    assert states(layout)["binarize"] is State.DAMAGED


def test_interrupted_training_is_told(layout):
    complete(layout, "preprocess", "binarize")
    layout.train.mkdir()
    (layout.train / "run.json").write_text("{}")
    assert states(layout)["train"] is State.INTERRUPTED


def test_without_a_test_split_the_plan_ends_with_training(layout):
    assert plan.planned_stages(config(layout, "data.test=[]")) == STAGES[:3]


def test_fingerprints_do_not_depend_on_the_folder(layout, tmp_path_factory):
    other = Layout(tmp_path_factory.mktemp("elsewhere"))
    for path in layout.root.iterdir():
        if path.is_file():
            (other.root / path.name).write_bytes(path.read_bytes())
    for stage in STAGES:
        one = plan.identity(stage, config(layout), layout)
        assert one == plan.identity(stage, config(other), other)

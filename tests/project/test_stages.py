import pytest

from pipelines.artifacts.layout import STAGES, Layout
from pipelines.artifacts.manifest import Manifest
from pipelines.artifacts.run_record import ForkedFrom, RunRecord, write_record
from pipelines.errors import ConfigError, CorpusError
from pipelines.project.run_identity import run_key
from pipelines.project.stages import (
    TABLE,
    differences,
    identity,
    new_manifest,
    project_stages,
    stage_changes,
)
from tests.project.conftest import complete, settings


def test_the_table_has_every_stage_in_order_after_the_one_before():
    assert tuple(TABLE) == STAGES
    assert [stage.previous for stage in TABLE.values()] == [None, *STAGES[:-1]]


def test_without_a_test_split_a_project_ends_with_training(layout):
    assert project_stages(settings(layout, "data.test=[]")) == STAGES[:3]
    assert project_stages(settings(layout)) == STAGES


@pytest.mark.parametrize(
    ("stage", "inputs"),
    [
        ("binarize", ["preprocess"]),
        ("train", ["binarize"]),
        ("translate", ["train"]),
        ("score", ["reference", "translate"]),
    ],
)
def test_a_stage_depends_on_the_result_of_the_one_before(layout, stage, inputs):
    own = identity(stage, settings(layout), layout)
    assert list(own.inputs) == inputs
    previous = str(TABLE[stage].previous)
    before = identity(previous, settings(layout), layout)
    assert own.inputs[previous] == before.fingerprint


@pytest.mark.parametrize("stage", ["translate", "score"])
def test_the_validation_split_makes_another_identity(layout, stage):
    valid = Layout(layout.root, split="valid")
    assert identity(stage, settings(layout), valid).inputs["split"] == "valid"


def test_missing_text_that_no_manifest_knows_is_an_error(layout):
    (layout.root / "train.en").unlink()
    with pytest.raises(CorpusError, match=r"train\.en not found"):
        identity("preprocess", settings(layout), layout)
    config = settings(layout, "preprocess.source_vocab=nowhere")
    (layout.root / "train.en").write_text("back\n")
    with pytest.raises(ConfigError, match="nowhere not found"):
        identity("binarize", config, layout)


def test_fingerprints_do_not_depend_on_the_folder(layout, tmp_path_factory):
    other = Layout(tmp_path_factory.mktemp("elsewhere"))
    for path in layout.root.iterdir():
        if path.is_file():
            (other.root / path.name).write_bytes(path.read_bytes())
    for stage in STAGES:
        one = identity(stage, settings(layout), layout)
        assert one == identity(stage, settings(other), other)


def test_only_the_wanted_run_brings_its_origin_into_the_fingerprint(layout):
    config = settings(layout)
    plain = identity("train", config, layout)
    key = run_key(plain.settings, plain.inputs)
    layout.train.mkdir()
    origin = ForkedFrom("abc", 7)
    write_record(layout.train, RunRecord(key, plain.settings, plain.inputs, origin))
    forked = identity("train", config, layout)
    assert forked.inputs == {**plain.inputs, "forked_from": "abc at step 7"}
    assert forked.fingerprint != plain.fingerprint
    other = settings(layout, "train.seed=9")
    assert "forked_from" not in identity("train", other, layout).inputs


def test_score_depends_on_the_translation_on_disk_by_the_same_model(layout):
    complete(layout, "preprocess", "binarize", "train")
    wanted = identity("translate", settings(layout), layout)
    complete(layout, "translate", overrides=["translate.beam=3"])
    scored = identity("score", settings(layout), layout).inputs["translate"]
    assert scored != wanted.fingerprint
    complete(layout, "translate", overrides=["train.seed=9"])  # by another model
    scored = identity("score", settings(layout), layout).inputs["translate"]
    assert scored == wanted.fingerprint


def test_a_new_manifest_records_identity_counts_and_arithmetic(layout):
    own = identity("binarize", settings(layout), layout)
    manifest = new_manifest(
        "binarize", settings(layout), layout, {"pairs": 3}, arithmetic={"a": "b"}
    )
    assert manifest == Manifest(
        "binarize",
        own.fingerprint,
        own.settings,
        own.inputs,
        {"pairs": 3},
        environment={"a": "b"},
    )


def test_a_stale_stage_without_a_visible_difference_is_of_another_version(layout):
    wanted = identity("binarize", settings(layout), layout)
    recorded = Manifest("binarize", "other", wanted.settings, wanted.inputs, {})
    assert stage_changes(recorded, wanted) == ["written by another version of s2s"]


def test_differences_list_settings_before_inputs_and_leave_out_free_ones():
    before = RunRecord("a", {"train.seed": 1, "train.patience": 0}, {"binarize": "x"})
    after = RunRecord("b", {"train.seed": 2, "train.patience": 3}, {"binarize": "y"})
    assert differences(before, after, free=["train.patience"]) == [
        "train.seed: 1 -> 2",
        "binarize changed",
    ]

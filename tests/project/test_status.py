import json
import os

import pytest

from pipelines.artifacts.layout import HASHES, STAGES
from pipelines.project.runs import claim
from pipelines.project.status import (
    StageState,
    changes_since_translation,
    stage_status,
    stage_statuses,
)
from tests.project.conftest import complete, settings


def states(layout, *overrides):
    return {
        s.stage: s.state for s in stage_statuses(settings(layout, *overrides), layout)
    }


def test_a_new_project_misses_everything(layout):
    assert set(states(layout).values()) == {StageState.MISSING}


def test_a_finished_project_is_fresh(layout):
    complete(layout, *STAGES)
    assert set(states(layout).values()) == {StageState.FRESH}


def test_unchanged_text_is_not_read_again(layout):
    complete(layout, *STAGES)
    cache = layout.state / HASHES
    hashes = json.loads(cache.read_bytes())
    cache.write_text(json.dumps(dict.fromkeys(hashes, "another hash")))
    reason = stage_status("preprocess", settings(layout), layout).reason
    assert "train.src changed" in reason


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
    after = states(layout, override)
    assert [s for s in STAGES if after[s] is StageState.STALE] == list(stale)


def test_the_reason_names_setting_and_values(layout):
    complete(layout, *STAGES)
    statuses = stage_statuses(settings(layout, "train.learning_rate=0.5"), layout)
    assert statuses[2].reason == "train.learning_rate: 0.002 -> 0.5"
    assert statuses[3].reason == "train changed"


def test_a_setting_that_is_not_recorded_had_its_default(layout):
    complete(layout, *STAGES)
    statuses = stage_statuses(settings(layout, "translate.min_length=2"), layout)
    assert statuses[3].reason == "translate.min_length: 0 -> 2"


def test_changed_text_makes_everything_stale(layout):
    complete(layout, *STAGES)
    (layout.root / "train.en").write_text("other text\n")
    assert states(layout)["preprocess"] is StageState.STALE
    assert "train.src changed" in stage_statuses(settings(layout), layout)[0].reason


def test_touching_a_file_changes_nothing(layout):
    complete(layout, *STAGES)
    os.utime(layout.root / "train.en", (1, 1))
    assert set(states(layout).values()) == {StageState.FRESH}


def test_missing_text_is_taken_as_unchanged(layout):
    complete(layout, *STAGES)
    (layout.root / "train.en").unlink()
    assert set(states(layout).values()) == {StageState.FRESH}
    status = stage_status("preprocess", settings(layout), layout)
    assert status.reason == "train.en not found: taken as unchanged"
    typo = settings(layout, 'data.train=["trian.en", "train.fr"]')
    assert "trian.en not found" in stage_status("preprocess", typo, layout).reason


def test_a_damaged_manifest_is_reported(layout):
    complete(layout, *STAGES)
    path = layout.binarize / "manifest.json"
    path.write_text(path.read_text().replace("binarize", "binarise"))
    assert states(layout)["binarize"] is StageState.DAMAGED


def test_an_interrupted_training_is_reported(layout):
    complete(layout, "preprocess", "binarize")
    layout.train.mkdir()
    (layout.train / "run.json").write_text("{}")
    assert states(layout)["train"] is StageState.INTERRUPTED


def test_an_interrupted_training_names_the_settings_that_changed_since(layout):
    complete(layout, "preprocess", "binarize")
    claim(settings(layout), layout)
    changed = settings(layout, "train.seed=9", "train.patience=4")
    status = stage_status("train", changed, layout)
    assert status.reason == "training has not ended; train.seed: 1 -> 9"
    (layout.root / "train.en").unlink()  # and its hash is recorded nowhere
    (layout.preprocess / "manifest.json").unlink()
    assert stage_status("train", changed, layout) == status


def test_a_stage_whose_text_and_predecessor_are_missing_is_judged_by_settings(layout):
    complete(layout, *STAGES)
    (layout.root / "train.en").unlink()
    for stage in ("preprocess", "binarize"):
        (layout.stage(stage) / "manifest.json").unlink()
    status = stage_status("train", settings(layout), layout)
    assert status.state is StageState.FRESH
    assert status.reason.endswith("train.en not found: only settings are compared")
    status = stage_status("train", settings(layout, "train.seed=9"), layout)
    assert (status.state, status.reason) == (StageState.STALE, "train.seed: 1 -> 9")


def test_a_stage_whose_predecessor_was_run_again_is_stale_even_without_text(layout):
    complete(layout, *STAGES)
    complete(layout, "binarize", overrides=["preprocess.lowercase=true"])
    (layout.root / "train.en").unlink()
    (layout.preprocess / "manifest.json").unlink()
    status = stage_status("train", settings(layout), layout)
    assert (status.state, status.reason) == (StageState.STALE, "binarize changed")


def test_settings_that_changed_since_the_translation_are_listed(layout):
    complete(layout, *STAGES)
    assert changes_since_translation(settings(layout), layout) == []
    wider = settings(layout, "translate.beam=3")
    assert changes_since_translation(wider, layout) == ["translate.beam: 8 -> 3"]


def test_a_translation_by_another_model_has_no_changes_to_list(layout):
    complete(layout, *STAGES)
    changed = settings(layout, "translate.beam=3", "train.seed=9")
    assert changes_since_translation(changed, layout) == []

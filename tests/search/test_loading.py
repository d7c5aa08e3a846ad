"""Loading of checkpoints as one model or an ensemble."""

from dataclasses import replace

import pytest

from pipelines.config import TranslateConfig
from pipelines.errors import MissingArtifactError, UsageError
from pipelines.search.loading import load_ensemble
from pipelines.search.translator import Translator
from tests.search.tiny import make_members, make_pipeline, write_model

CONFIG = TranslateConfig(precision="fp32", device="cpu")
LINES = ["a b c", "", "e d"]


def save(folder, seed, *, pipeline=None, **info):
    return write_model(folder, seed, pipeline or make_pipeline(), **info)


def test_a_loaded_model_translates_as_the_one_that_was_saved(tmp_path):
    loaded = load_ensemble([save(tmp_path, 1, length_ratio=1.25)], CONFIG)
    assert loaded.names == ("step-00000001",)
    assert loaded.length_ratio == 1.25
    expected = replace(make_members(1), length_ratio=1.25)
    translations = Translator(loaded, CONFIG).translate(LINES)
    assert translations == Translator(expected, CONFIG).translate(LINES)


def test_an_ensemble_has_the_largest_length_ratio_of_its_models(tmp_path):
    paths = [save(tmp_path, 1, length_ratio=1.5), save(tmp_path, 2)]
    loaded = load_ensemble(paths, CONFIG)
    assert loaded.names == ("step-00000001", "step-00000002")
    assert loaded.length_ratio == 2.0  # what a checkpoint without a ratio counts as


def test_the_identity_follows_models_weights_and_text(tmp_path):
    one, two = save(tmp_path, 1), save(tmp_path, 2)
    lowercase = save(tmp_path / "other", 1, pipeline=make_pipeline(lowercase=True))
    loaded = [
        load_ensemble([one], CONFIG),
        load_ensemble([two], CONFIG),
        load_ensemble([one, two], CONFIG),
        load_ensemble([one, two], CONFIG, weights=[1, 2]),
        load_ensemble([lowercase], CONFIG),
    ]
    assert len({each.identity for each in loaded}) == len(loaded)
    assert load_ensemble([one], CONFIG).identity == loaded[0].identity


def test_models_with_other_text_rules_are_refused(tmp_path):
    one = save(tmp_path / "one", 1)
    other = save(tmp_path / "other", 2, pipeline=make_pipeline(lowercase=True))
    with pytest.raises(UsageError, match="they differ in settings of their folders"):
        load_ensemble([one, other], CONFIG)


@pytest.mark.parametrize(
    ("weights", "message"),
    [([1.0], "2 models, 1 weight"), ([1.0, 0.0], "expected positive numbers")],
)
def test_wrong_ensemble_weights_are_refused_before_loading(tmp_path, weights, message):
    paths = [tmp_path / "nowhere", tmp_path / "nothing"]
    with pytest.raises(UsageError, match=message):
        load_ensemble(paths, CONFIG, weights=weights)


def test_a_missing_model_is_named(tmp_path):
    with pytest.raises(MissingArtifactError, match="nowhere"):
        load_ensemble([tmp_path / "nowhere"], CONFIG)

"""Sections of the schema: corpora, lengths, fingerprints, and the case of a score."""

from typing import Any

import pytest
from pydantic import ValidationError

from pipelines.config import (
    Config,
    DataConfig,
    PreprocessConfig,
    ScoreConfig,
    TranslateConfig,
    load,
)
from pipelines.config.load import describe_settings
from pipelines.config.schema import file_pairs
from pipelines.errors import ConfigError

# The case of a score: `auto` follows the case of the model's text


@pytest.fixture
def resolved(tmp_path):
    def find(text, *overrides):
        (tmp_path / "s2s.toml").write_text(f'recipe = "small"\n{text}')
        return load(tmp_path, overrides=overrides)

    return find


@pytest.mark.parametrize(
    ("text", "overrides", "expected"),
    [
        ("", [], False),
        ("[preprocess]\nlowercase = true", [], True),
        ("[preprocess]\nlowercase = true", ["score.lowercase=false"], False),
        ("[preprocess]\nlowercase = true", ["preprocess.lowercase=false"], False),
        ("[score]\nlowercase = true", [], True),
        ("[score]\nlowercase = true", ["score.lowercase=auto"], False),
        ('[score]\nlowercase = "auto"', ["preprocess.lowercase=true"], True),
    ],
)
def test_auto_becomes_true_or_false(resolved, text, overrides, expected):
    loaded = resolved(text, *overrides)
    assert loaded.config.score.lowercase is expected
    assert loaded.config.score.ignores_case is expected
    assert loaded.config.score.fingerprinted()["lowercase"] is expected
    shown = {setting.field.key: setting for setting in describe_settings(loaded)}
    assert shown["score.lowercase"].value is expected


def test_sections_made_by_hand_are_resolved_too():
    config = Config(preprocess=PreprocessConfig(lowercase=True))
    assert config.score.lowercase is True
    assert Config().score.fingerprinted()["lowercase"] is False
    assert ScoreConfig().ignores_case is False


@pytest.mark.parametrize("override", ["score.lowercase=no way", "score.lowercase=7"])
def test_another_value_is_refused(resolved, override):
    with pytest.raises(ConfigError, match=r"^score\.lowercase \(--set\)"):
        resolved("", override)


def test_a_wrong_preprocess_section_is_the_error_that_is_shown(resolved):
    with pytest.raises(ConfigError, match=r"^preprocess\.lowercase \(--set\)"):
        resolved("", "preprocess.lowercase=7")


# Corpora


@pytest.mark.parametrize(
    ("value", "pairs"),
    [
        ([], ()),
        (["a", "b"], (("a", "b"),)),
        ([["a", "b"]], (("a", "b"),)),
        ([["a", "b"], ("c", "d")], (("a", "b"), ("c", "d"))),
    ],
)
def test_a_split_is_no_pair_one_pair_or_several(value, pairs):
    assert file_pairs(value) == pairs
    assert DataConfig(train=value).splits().get("train", ()) == pairs


@pytest.mark.parametrize("value", ["a", ["a"], ["a", ""], ["a", "b", "c"], [["a"]], 3])
def test_anything_but_pairs_of_names_is_refused(value):
    with pytest.raises(ValueError, match="needs two files"):
        file_pairs(value)


def test_the_test_split_takes_one_pair():
    with pytest.raises(ValidationError, match=r"test takes one \[source, target\]"):
        DataConfig.model_validate({"test": [["a", "b"], ["c", "d"]]})
    assert DataConfig.model_validate({"test": [["a", "b"]]}).test == ("a", "b")


# Translation


def test_a_smallest_length_above_the_largest_is_refused():
    with pytest.raises(ValidationError, match=r"min_length \(5\) exceeds max_leng"):
        TranslateConfig(min_length=5, max_length=4)
    assert TranslateConfig(min_length=5).max_length == 0


def test_settings_of_sampling_are_fingerprinted_only_when_it_is_on():
    plain = TranslateConfig().fingerprinted()
    sampling: dict[str, Any] = {"top_k": 5, "seed": 2, "temperature": 0.5}
    assert TranslateConfig(**sampling).fingerprinted() == plain
    assert TranslateConfig(sample=True, **sampling).fingerprinted() == {
        **plain,
        "sample": True,
        **sampling,
    }


def test_the_fingerprint_of_a_translation_has_its_first_settings():
    assert set(TranslateConfig().fingerprinted()) == {
        "beam",
        "nbest",
        "search",
        "length_penalty",
        "unk",
        "ensemble",
        "max_length_ratio",
        "max_length_extra",
        "max_source_length",
        "precision",
    }

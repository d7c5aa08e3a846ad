"""`score.lowercase = "auto"`: the score follows the case of the model's text."""

import pytest

from pipelines.config import Config, PreprocessConfig, ScoreConfig, load
from pipelines.config.load import describe_settings
from pipelines.errors import ConfigError


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
    shown = {setting.key: setting for setting in describe_settings(loaded)}
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

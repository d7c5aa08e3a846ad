import pytest

from pipelines.config import PreprocessConfig, load
from pipelines.config.section import EXECUTION, INPUT_FILE, LATER
from pipelines.errors import ConfigError


def small(folder, *overrides):
    (folder / "s2s.toml").write_text('recipe = "small"\n')
    return load(folder, overrides=overrides).config.preprocess


# auto


@pytest.mark.parametrize(
    ("overrides", "max_length", "min_count"),
    [
        ([], 100, 2),
        (["tokenizer=none"], 100, 2),
        (["tokenizer=sentencepiece"], 150, 1),
        (["tokenizer=characters"], 500, 1),
        (["source_tokenizer=characters", "target_tokenizer=none"], 500, (1, 2)),
        (["target_tokenizer=sentencepiece"], 150, (2, 1)),
        (["source_tokenizer=none"], 100, 2),
        (["target_tokenizer=characters", "share_vocab=true"], 500, 1),
        (["max_length=70", "min_count=5", "tokenizer=characters"], 70, 5),
        (["min_count=[4, 3]"], 100, (4, 3)),
        (["min_count=[3, 3]"], 100, 3),
        (["max_length=0"], 0, 2),
    ],
)
def test_auto_becomes_what_fits_the_tokenizers(
    tmp_path, overrides, max_length, min_count
):
    found = small(tmp_path, *(f"preprocess.{text}" for text in overrides))
    assert found.max_length == max_length
    assert found.min_count == min_count


def test_auto_is_not_the_default():
    assert (PreprocessConfig().max_length, PreprocessConfig().min_count) == (0, 1)


def test_a_fingerprint_holds_numbers(tmp_path):
    found = small(tmp_path).fingerprinted()
    assert (found["max_length"], found["min_count"]) == (100, 2)
    sides = small(tmp_path, "preprocess.target_tokenizer=characters").fingerprinted()
    assert (sides["max_length"], sides["min_count"]) == (500, [2, 1])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("max_length=automatic", r"max_length .--set.: .*auto.*found 'automatic'"),
        ("max_length=-1", "max_length .--set.: .*integer of at least 0, found -1"),
        ("min_count=0", "min_count .--set.: .*integer of at least 1"),
        ("min_count=[1, 2, 3]", "min_count"),
        ("tokenizer=mosess", "tokenizer .--set.: .*found 'mosess'"),
        ("source_tokenizer=x", "source_tokenizer .--set.: .*found 'x'"),
    ],
)
def test_wrong_values_are_refused(tmp_path, override, message):
    with pytest.raises(ConfigError, match=message):
        small(tmp_path, f"preprocess.{override}")


# Both sides


@pytest.mark.parametrize(
    ("settings", "tokenizers"),
    [
        ({}, ("moses", "moses")),
        ({"tokenizer": "none"}, ("none", "none")),
        ({"source_tokenizer": "characters"}, ("characters", "moses")),
        (
            {"source_tokenizer": "characters", "target_tokenizer": "none"},
            ("characters", "none"),
        ),
        ({"tokenizer": "none", "target_tokenizer": "same"}, ("none", "none")),
    ],
)
def test_each_side_has_a_tokenizer(settings, tokenizers):
    assert PreprocessConfig(**settings).tokenizers == tokenizers


PIECES = {"tokenizer": "sentencepiece"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"source_sentencepiece": "x"}, "the source side's tokenizer is moses"),
        (
            PIECES | {"target_tokenizer": "none", "target_sentencepiece": "x"},
            "target_sentencepiece needs target_tokenizer .*side's tokenizer is none",
        ),
        (
            PIECES | {"target_tokenizer": "none", "sentencepiece_joint": True},
            "sentencepiece on both sides",
        ),
        (
            PIECES | {"sentencepiece_joint": True, "target_sentencepiece": "x"},
            "remove target_sentencepiece",
        ),
        ({"share_vocab": True, "target_vocab": "x"}, "remove target_vocab"),
        ({"share_vocab": True, "min_count": [1, 2]}, r"one min_count, found \[1, 2\]"),
    ],
)
def test_contradictions_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        PreprocessConfig(**settings)


def test_the_users_files_are_listed_by_setting():
    settings = PreprocessConfig(
        source_vocab="words.tsv", tokenizer="sentencepiece", target_sentencepiece="b"
    )
    assert settings.input_files() == {
        "source_vocab": "words.tsv",
        "target_sentencepiece": "b",
    }


# Fingerprints


def test_settings_added_later_are_fingerprinted_only_when_they_are_used():
    fields = PreprocessConfig.model_fields
    added = {name for name, f in fields.items() if f.json_schema_extra == LATER}
    assert added == {"source_tokenizer", "target_tokenizer", "share_vocab"}
    assert not added & set(PreprocessConfig().fingerprinted())
    used = PreprocessConfig(target_tokenizer="none", share_vocab=True).fingerprinted()
    assert (used["target_tokenizer"], used["share_vocab"]) == ("none", True)
    assert "source_tokenizer" not in used


@pytest.mark.parametrize("mark", [EXECUTION, INPUT_FILE])
def test_paths_and_execution_settings_are_never_fingerprinted(mark):
    fields = PreprocessConfig.model_fields
    marked = {name for name, f in fields.items() if f.json_schema_extra == mark}
    assert marked
    settings = PreprocessConfig(
        tokenizer="sentencepiece",
        workers=3,
        source_vocab="a",
        target_vocab="b",
        source_sentencepiece="c",
        target_sentencepiece="d",
    )
    assert not marked & set(settings.fingerprinted())

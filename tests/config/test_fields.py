import pytest

from pipelines.config import load
from pipelines.config.fields import field_of, known_keys
from pipelines.errors import ConfigError


def test_every_setting_describes_its_accepted_values():
    own = ("data.train", "data.valid", "data.test")  # checked by their section
    for key in known_keys():
        assert field_of(key).expected or key in own, key


@pytest.mark.parametrize(
    ("override", "message", "hint"),
    [
        (
            "train.batch_size=x",
            "expected an integer of at least 1, found 'x'",
            "sentence pairs",
        ),
        (
            "train.batch_size=0",
            "expected an integer of at least 1, found 0",
            "sentence pairs",
        ),
        ("train.batch_size=2.5", "expected an integer of at least 1, found 2.5", ""),
        ("model.dropout=1.0", "expected a number of at least 0 and below 1", "Drop"),
        ("train.learning_rate=-1", "expected a number greater than 0, found -1", ""),
        ("train.tensorboard=maybe", "expected true or false, found 'maybe'", "Write"),
        ("train.betas=[0.9, 1.5]", "expected 2 values, each a number of", ""),
        ("train.optimizer=adm", "expected one of sgd, adam or adamw", "mean adam?"),
        ("train.best_by=blue", "expected perplexity or bleu", "mean bleu?"),
        ("train.precision=fp16", "expected one of auto, fp32", "mean bf16?"),
        ("preprocess.tokenizer=spm", "one of moses, sentencepiece", "sentencepiece?"),
        ("train.device=gpu", "expected auto, cpu, cuda or cuda:N", "mean cuda?"),
        ("translate.length_penalty=averag", "at least 0, or average", "mean average?"),
        ("train.device=true", "cuda:N, found true", ""),
    ],
)
def test_a_wrong_value_is_answered_with_what_is_expected(
    tmp_path, override, message, hint
):
    (tmp_path / "s2s.toml").touch()
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, overrides=[override])
    assert message in caught.value.message
    assert caught.value.message.startswith(override.partition("=")[0] + " (--set): ")
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("overrides", "message", "hint"),
    [
        (
            ["translate.min_length=5", "translate.max_length=3"],
            "translate: min_length (5) exceeds max_length (3)",
            "s2s config show translate shows these settings and their origins",
        ),
        (
            ["preprocess.source_sentencepiece=x.model"],
            "preprocess: source_sentencepiece needs source_tokenizer (or tokenizer) = "
            '"sentencepiece", and the source side\'s tokenizer is moses',
            "s2s config show preprocess shows these settings and their origins",
        ),
        (
            ["data.train=train.en"],
            "data.train (--set): train needs two files: [source, target], found "
            "'train.en'",
            "data.train: Training text (plain, .gz or .zst), relative to the project's "
            "folder.",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_shown_by_their_section(
    tmp_path, overrides, message, hint
):
    (tmp_path / "s2s.toml").touch()
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, overrides=overrides)
    assert (caught.value.message, caught.value.hint) == (message, hint)


def test_the_search_greedy_is_answered_with_a_beam_of_one(tmp_path):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, flags={"translate.search": "greedy"}, needs_file=False)
    assert "Greedy search is beam = 1" in caught.value.hint


def test_a_wrong_value_of_an_option_names_the_option(tmp_path):
    (tmp_path / "s2s.toml").touch()
    flags = {"translate.length_penalty": "foo"}
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, flags=flags)
    expected = "--length-penalty foo: expected a number of at least 0, or average"
    assert caught.value.message == expected
    assert "GNMT" in caught.value.hint

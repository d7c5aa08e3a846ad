import tomllib

import pytest

from pipelines.config import init_text, load, recipe_names
from pipelines.config.fields import known_keys
from pipelines.config.load import describe_settings, parse_override
from pipelines.errors import ConfigError, MissingArtifactError


@pytest.fixture
def project(tmp_path):
    def write(text):
        (tmp_path / "s2s.toml").write_text(text)
        return tmp_path

    return write


def test_layers_override_in_order(project):
    folder = project('recipe = "small"\n[train]\nseed = 2\nbatch_size = 7\n')
    environ = {"S2S_TRAIN__BATCH_SIZE": "8", "S2S_MODEL__CELLS": "33", "OTHER": "x"}
    found = load(folder, overrides=["model.cells=44"], environ=environ)
    assert found.config.train.seed == 2
    assert found.config.train.batch_size == 8
    assert found.config.model.cells == 44
    assert found.config.train.optimizer == "adam"  # the recipe's
    assert found.config.train.patience == 0  # the default
    assert found.origins["train.seed"] == "s2s.toml"
    assert found.origins["train.batch_size"] == "S2S_TRAIN__BATCH_SIZE"
    assert found.origins["model.cells"] == "--set"
    assert found.origins["train.optimizer"] == "recipe small"
    assert "train.patience" not in found.origins


def test_a_typed_option_is_stronger_than_set_and_names_its_origin(project):
    flags = {"translate.beam": 3, "translate.length_penalty": "0.5"}
    found = load(project(""), overrides=["translate.beam=5"], flags=flags)
    assert found.config.translate.beam == 3
    assert found.config.translate.length_penalty == 0.5
    assert found.origins["translate.beam"] == "--beam"
    assert found.origins["translate.length_penalty"] == "--length-penalty"


@pytest.mark.parametrize(
    "how",
    [{"environ": {"S2S_RECIPE": "small"}}, {"overrides": ["recipe=small"]}],
    ids=["environment", "--set"],
)
def test_a_recipe_can_be_named_from_outside_the_file(project, how):
    found = load(project("[train]\nseed = 2"), **how)
    assert found.config.recipe == "small"
    assert found.config.model.cells == 512
    assert found.origins["model.cells"] == "recipe small"
    assert found.config.train.seed == 2


def test_without_a_file_defaults_variables_and_set_apply(tmp_path):
    environ = {"S2S_MODEL__CELLS": "33"}
    found = load(
        tmp_path, overrides=["train.seed=4"], environ=environ, needs_file=False
    )
    assert (found.config.model.cells, found.config.train.seed) == (33, 4)
    assert found.config.train.optimizer == "sgd"
    environ = {"S2S_RECIPE": "small"}
    found = load(tmp_path, environ=environ, needs_file=False)
    assert found.config.train.optimizer == "adam"


@pytest.mark.parametrize("variable", ["S2S_MODEL_CELLS", "S2S_CELLS", "S2S_", "S2S__"])
def test_every_unknown_variable_is_refused(project, variable):
    with pytest.raises(ConfigError, match=f"{variable} is not a setting") as caught:
        load(project(""), environ={variable: "1"})
    assert "S2S_" in caught.value.hint
    load(project(""), environ={"_S2S_COMPLETE": "bash_source", "S2SX": "1"})


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("[train]\nlerning_rate = 1", "train.lerning_rate", "train.learning_rate"),
        ("[trian]\nseed = 1", "trian.seed", "train.seed"),
        ("learning_rate = 1", "learning_rate", "train.learning_rate"),
        ("[quux]\n", "quux is not a setting", "config show"),
    ],
)
def test_an_unknown_key_in_the_file_is_answered_with_the_nearest(
    project, text, message, hint
):
    with pytest.raises(ConfigError, match=message) as caught:
        load(project(text))
    assert hint in caught.value.hint
    assert "s2s.toml" in caught.value.message


def test_an_unknown_key_in_set_or_a_variable_is_answered_with_the_nearest(project):
    with pytest.raises(ConfigError, match=r"--set: train\.batchsize") as caught:
        load(project(""), overrides=["train.batchsize=3"])
    assert "train.batch_size" in caught.value.hint
    with pytest.raises(ConfigError, match="S2S_TRAIN__SEEED") as caught:
        load(project(""), environ={"S2S_TRAIN__SEEED": "3"})
    assert "S2S_TRAIN__SEED" in caught.value.hint


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.learning_rate=-1", "train.learning_rate .--set.*greater than 0"),
        ("train.batch_size=many", "train.batch_size.*'many'"),
        ("train.optimizer=sdg", "train.optimizer.*one of sgd, adam or adamw"),
        ("translate.temperature=0", "translate.temperature .--set.*greater than 0"),
        ("train.device=tpu", "train.device"),
        ('data.train=["a"]', "train needs two files"),
        ("preprocess.source_vocab_size=3", "integer of at least 4, found 3"),
        ("train.learning_rate=nan", "train.learning_rate"),
        ("train.learning_rate", "no '='"),
    ],
)
def test_a_wrong_value_is_refused_with_its_key_and_origin(project, override, message):
    with pytest.raises(ConfigError, match=message):
        load(project('recipe = "small"'), overrides=[override])


def test_a_missing_or_broken_file_is_one_clear_error(tmp_path, project):
    with pytest.raises(MissingArtifactError) as missing:
        load(tmp_path)
    assert "s2s init" in missing.value.hint
    with pytest.raises(ConfigError, match="not TOML"):
        load(project("[train\n"))
    (tmp_path / "s2s.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(tmp_path)
    with pytest.raises(ConfigError, match="no recipe 'big'") as caught:
        load(project('recipe = "big"'))
    assert "paper" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("train.seed=3", 3),
        ("translate.unk=allow", "allow"),
        ("train.device=cpu", "cpu"),
        ('train.device="cpu"', "cpu"),
        ('data.train=["a", "b"]', ["a", "b"]),
        ("train.learning-rate=0.5", 0.5),
    ],
)
def test_override_values_are_toml_or_text(text, value):
    assert parse_override(text)[1] == value


def test_there_are_three_recipes():
    assert recipe_names() == ["numbers", "paper", "small"]


@pytest.mark.parametrize("name", ["numbers", "paper", "small"])
def test_init_text_is_the_recipe_with_the_users_values(name, tmp_path):
    text = init_text(name, {"data.train": ("a", "b"), "train.seed": 9})
    (tmp_path / "s2s.toml").write_text(text)
    config = load(tmp_path).config
    assert config.recipe == name
    assert config.data.train == ("a", "b")
    assert config.train.seed == 9
    assert tomllib.loads(text)["train"]["seed"] == 9
    assert text.startswith("# ")


def test_init_text_refuses_wrong_values():
    with pytest.raises(ConfigError, match="batch_size"):
        init_text("small", {"train.batch_size": 0})


def test_paper_recipe_is_the_paper():
    text = init_text("paper", {})
    found = tomllib.loads(text)
    assert found["preprocess"]["source_vocab_size"] == 160_000
    assert found["preprocess"]["target_vocab_size"] == 80_000
    assert found["preprocess"]["reverse_source"] is True
    assert found["model"] == {
        "layers": 4,
        "cells": 1000,
        "embedding_size": 1000,
        "peepholes": True,
        "dropout": 0.0,
        "tie_embeddings": False,
        "bias": True,
        "init_range": 0.08,
    }
    train = found["train"]
    assert (train["optimizer"], train["learning_rate"]) == ("sgd", 0.7)
    assert (train["batch_size"], train["clip_norm"]) == (128, 5.0)
    assert (train["max_epochs"], train["halve_after_epochs"]) == (7.5, 5.0)
    assert (train["loss_per"], found["translate"]["search"]) == ("sentence", "paper")


def test_every_setting_is_described(project):
    settings = describe_settings(load(project("")))
    assert [s.field.key for s in settings] == known_keys()
    assert all(s.field.meaning.endswith(".") for s in settings)

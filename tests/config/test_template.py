import re
import tomllib

import pytest

from pipelines.config import init_text, load, recipe_names
from pipelines.config.fields import field_of, known_keys
from pipelines.config.load import recipe_text
from pipelines.config.template import WIDTH
from pipelines.errors import ConfigError

DEFAULT = re.compile(r"^# (\w+ = )", flags=re.MULTILINE)


def settings_in(text):
    """Return each `section.key` of a file, set or as a commented default."""
    section, keys = "", []
    names = {key.rpartition(".")[2] for key in known_keys()}
    for line in text.splitlines():
        if line.startswith("["):
            section = line.strip("[]") + "."
        elif (found := re.match(r"(?:# )?(\w+) = ", line)) and found[1] in names:
            keys.append(section + found[1])
    return keys


@pytest.fixture
def loaded(tmp_path):
    def load_text(text):
        (tmp_path / "s2s.toml").write_text(text)
        return load(tmp_path)

    return load_text


@pytest.mark.parametrize("recipe", recipe_names())
@pytest.mark.parametrize("values", [{}, {"train.seed": 9, "train.batch_size": 3}])
def test_every_setting_is_there_once_below_its_meaning(recipe, values):
    text = init_text(recipe, values)
    assert settings_in(text) == known_keys()
    plain = " ".join(text.replace("\n# ", " ").split())
    for field in map(field_of, known_keys()):
        assert field.meaning in plain
        if field.choices:
            assert f"Choices: {', '.join(field.choices)}." in plain


@pytest.mark.parametrize("recipe", recipe_names())
def test_comments_fit_the_width(recipe):
    comments = [x for x in init_text(recipe, {}).splitlines() if x.startswith("#")]
    assert max(map(len, comments)) <= WIDTH == 88


@pytest.mark.parametrize("recipe", recipe_names())
@pytest.mark.parametrize("values", [{}, {"model.cells": 7, "data.train": ("a", "b")}])
def test_the_commented_defaults_change_nothing(recipe, values, loaded):
    text = init_text(recipe, values)
    before = loaded(text)
    after = loaded(DEFAULT.sub(r"\1", text))
    assert after.config == before.config
    assert set(after.origins.values()) == {"s2s.toml"}
    own = tomllib.loads(recipe_text(recipe))
    set_in_file = {key for key, at in before.origins.items() if at == "s2s.toml"}
    assert set_in_file == {
        "recipe",
        *values,
        *(f"{s}.{k}" for s, t in own.items() if s != "recipe" for k in t),
    }


def test_a_remark_is_kept_only_with_the_recipes_value():
    text = init_text("paper", {})
    assert 'optimizer = "sgd"  # without momentum\n' in text
    changed = init_text("paper", {"train.optimizer": "adam"})
    assert 'optimizer = "adam"\n' in changed
    assert "# without momentum" not in changed
    assert "# section 3.3" in changed


def test_another_recipe_among_the_values_is_refused():
    assert init_text("small", {"recipe": "small"}) == init_text("small", {})
    with pytest.raises(ConfigError, match="recipe=paper") as caught:
        init_text("small", {"recipe": "paper"})
    assert caught.value.hint == "s2s init --recipe paper"


def test_values_are_formatted_as_toml():
    text = init_text(
        "small", {"data.train": ("a b", 'c"d'), "train.betas": [0.9, 0.99]}
    )
    found = tomllib.loads(text)
    assert found["data"]["train"] == ["a b", 'c"d']
    assert found["train"]["betas"] == [0.9, 0.99]
    assert "learning_rate = 0.002\n" in text

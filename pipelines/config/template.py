"""The `s2s.toml` of a new project: every setting, below a comment that explains it."""

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

import tomlkit

from pipelines.config.fields import Field, field_of, known_keys
from pipelines.config.load import (
    SET,
    Flat,
    build,
    recipe_text,
    recipe_values,
    require_known,
)
from pipelines.config.schema import Config
from pipelines.config.toml_text import to_toml
from pipelines.errors import ConfigError

WIDTH = 88  # columns of a comment

_LEGEND = (
    "A line that begins with # is a comment. Settings that are commented out have "
    "their default value: remove the # to change one. Text needs quotes; numbers, true "
    "and false do not. `s2s config show` prints the values in effect."
)


def init_config(recipe: str, values: Flat) -> Config:
    """Return the configuration of a new project.

    Args:
        recipe: Name of the recipe.
        values: `section.key` -> value, which replaces the recipe's.

    Raises:
        ConfigError: The recipe or a key is unknown, or a value is wrong.
    """
    return build(_merge(recipe, values), dict.fromkeys(values, SET))


def init_text(recipe: str, values: Flat) -> str:
    """Return the text of the `s2s.toml` for `init_config` with these arguments.

    It has every setting once, below its meaning: as `key = value` if the recipe or
    `values` sets it, else as `# key = value` with the default. The recipe's remarks are
    kept for the values that are kept.
    """
    init_config(recipe, values)
    merged, own = _merge(recipe, values), recipe_values(recipe)
    remarks = {
        key: remark
        for key, remark in _remarks(recipe).items()
        if merged[key] == own[key]
    }
    lines = [*_header(recipe), "#", *_comment(_LEGEND), ""]
    section = ""
    for key in known_keys():
        if key.rpartition(".")[0] != section:
            section = key.rpartition(".")[0]
            model = type(getattr(Config(), section))
            summary = (model.__doc__ or "").partition("\n\n")[0]
            lines += ["", *_comment(summary), f"[{section}]"]
        lines += _entry(field_of(key), merged, remarks.get(key, ""))
    return "\n".join([*lines, ""])


def _merge(recipe: str, values: Flat) -> Flat:
    """Return the settings of a recipe with `values` in place of its own."""
    for key in values:
        require_known(key, SET)
    if values.get("recipe", recipe) != recipe:
        raise ConfigError(
            f"--set recipe={values['recipe']}: the recipe is {recipe}",
            hint=f"s2s init --recipe {values['recipe']}",
        )
    lists = {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}
    return recipe_values(recipe) | lists | {"recipe": recipe}


def _entry(field: Field, values: Mapping[str, Any], remark: str) -> Iterator[str]:
    yield from _comment(field.meaning)
    if field.choices:
        yield from _comment(f"Choices: {', '.join(field.choices)}.")
    name = field.key.rpartition(".")[2]
    if field.key in values:
        remark = f"  {remark}" if remark else ""
        yield f"{name} = {to_toml(values[field.key])}{remark}"
    else:
        yield f"# {name} = {to_toml(field.default)}"


def _header(recipe: str) -> list[str]:
    """Return the comment lines that a recipe begins with."""
    lines = recipe_text(recipe).splitlines()
    return lines[: next(i for i, line in enumerate(lines) if not line.startswith("#"))]


def _remarks(recipe: str) -> dict[str, str]:
    """Return the comments after a recipe's values: `section.key` -> `# comment`."""
    document: Any = tomlkit.parse(recipe_text(recipe))
    comments: dict[str, str] = {
        f"{section}.{name.key}": item.trivia.comment
        for section, table in document.items()
        if isinstance(table, tomlkit.items.Table)
        for name, item in table.value.body
        if name is not None
    }
    return {key: remark for key, remark in comments.items() if remark}


def _comment(text: str) -> list[str]:
    return textwrap.wrap(
        " ".join(text.split()),
        WIDTH,
        initial_indent="# ",
        subsequent_indent="# ",
        break_on_hyphens=False,
    )

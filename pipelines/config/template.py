"""The text of a new project's `s2s.toml`: every setting, explained by its comment."""

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
    to_toml,
)
from pipelines.config.schema import Config
from pipelines.errors import ConfigError

WIDTH = 88  # columns of a comment

_LEGEND = (
    "A line that begins with # is a comment. Settings that are commented out have "
    "their default value: remove the # to change one. Text stands in quotes; numbers, "
    "true and false do not. `s2s config show` prints what holds."
)


def init_text(recipe: str, values: Flat) -> str:
    """Write a new project's `s2s.toml`: a recipe's settings, and `values` in them.

    Every setting stands in it once, below its meaning: as `key = value` where the
    recipe or `values` names it, else as `# key = value` with its default.

    Args:
        recipe: Name of the recipe. Its remarks stay where its values do.
        values: `section.key` -> value, in place of the recipe's.

    Raises:
        ConfigError: The recipe or a key is unknown, or a value is wrong.
    """
    for key in values:
        require_known(key, SET)
    if values.get("recipe", recipe) != recipe:
        raise ConfigError(
            f"--set recipe={values['recipe']}: the recipe is {recipe}",
            hint=f"s2s init --recipe {values['recipe']}",
        )
    own = recipe_values(recipe)
    merged: Flat = own | {k: _plain(v) for k, v in values.items()} | {"recipe": recipe}
    build(merged, dict.fromkeys(values, SET))
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
    """The comment that a recipe begins with."""
    lines = recipe_text(recipe).splitlines()
    return lines[: next(i for i, line in enumerate(lines) if not line.startswith("#"))]


def _remarks(recipe: str) -> dict[str, str]:
    """The comments behind a recipe's values: `section.key` -> `# comment`."""
    document: Any = tomlkit.parse(recipe_text(recipe))
    found: dict[str, str] = {
        f"{section}.{name.key}": item.trivia.comment
        for section, table in document.items()
        if isinstance(table, tomlkit.items.Table)
        for name, item in table.value.body
        if name is not None
    }
    return {key: remark for key, remark in found.items() if remark}


def _comment(text: str) -> list[str]:
    return textwrap.wrap(
        " ".join(text.split()),
        WIDTH,
        initial_indent="# ",
        subsequent_indent="# ",
        break_on_hyphens=False,
    )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value

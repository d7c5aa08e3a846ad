"""Loading settings: defaults < recipe < s2s.toml < S2S_* variables < --set < options.

Every error names the key, the layer it came from and, for an unknown key, the nearest
one.
"""

import difflib
import logging
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipelines.config.fields import Field, field_of, known_keys, refusal
from pipelines.config.schema import Config
from pipelines.config.section import SETTINGS
from pipelines.config.suggest import (
    ENVIRONMENT_PREFIX,
    setting_hint,
    variable_hint,
    variable_of,
)
from pipelines.config.toml_text import parse_toml, to_toml
from pipelines.errors import ConfigError, MissingArtifactError

log = logging.getLogger(__name__)

SET = "--set"

Flat = dict[str, Any]  # "train.learning_rate" -> value


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration, and the layer that each value came from, by `section.key`."""

    config: Config
    origins: Mapping[str, str]


def recipe_names() -> list[str]:
    """Return the names of the recipes that ship with s2s."""
    folder = resources.files("pipelines.config") / "recipes"
    names = (entry.name for entry in folder.iterdir())
    return sorted(n.removesuffix(".toml") for n in names if n.endswith(".toml"))


def recipe_text(name: str) -> str:
    """Return the TOML text of a recipe.

    Raises:
        ConfigError: There is no such recipe.
    """
    if name not in recipe_names():
        raise ConfigError(
            f"there is no recipe {name!r}",
            hint="recipes: " + ", ".join(recipe_names()),
        )
    source = resources.files("pipelines.config") / "recipes" / f"{name}.toml"
    return source.read_text(encoding="utf-8")


def recipe_values(name: str) -> Flat:
    """Return the settings of a recipe.

    Raises:
        ConfigError: There is no such recipe.
    """
    return flatten(parse_toml(recipe_text(name).encode(), name), name)


def load(
    folder: Path,
    *,
    overrides: Sequence[str] = (),
    flags: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    needs_file: bool = True,
) -> Loaded:
    """Read a project's settings.

    Args:
        folder: The project's folder; it holds `s2s.toml`.
        overrides: `section.key=value` texts, stronger than the environment.
        flags: `section.key` -> value of a command-line option, the strongest layer. The
            origin is the option: `--beam` for `translate.beam`.
        environ: Variables `S2S_SECTION__KEY`, stronger than `s2s.toml`.
        needs_file: Whether `s2s.toml` must exist. Without it the defaults apply, or the
            recipe that another layer names.

    Raises:
        MissingArtifactError: `s2s.toml` does not exist.
        ConfigError: A file is not TOML, or a setting is unknown or wrong.
    """
    path = folder / SETTINGS
    own: Flat = {}
    if path.is_file():
        own = flatten(parse_toml(path.read_bytes(), str(path)), str(path))
    elif needs_file:
        raise MissingArtifactError(
            f"{path} not found",
            hint="s2s init makes a project; -d DIR names its folder",
        )
    variables = read_environment(environ or {})
    sets = parse_overrides(overrides)
    options = dict(flags or {})
    default = Config().recipe if path.is_file() else None
    name = (own | variables | sets).get("recipe", default)
    recipe = {} if name is None else recipe_values(str(name))
    origins = (
        dict.fromkeys(recipe, f"recipe {name}")
        | dict.fromkeys(own, SETTINGS)
        | {key: variable_of(key) for key in variables}
        | dict.fromkeys(sets, SET)
        | {key: option_of(key) for key in options}
    )
    values = recipe | own | variables | sets | options
    return Loaded(build(values, origins), origins)


def option_of(key: str) -> str:
    """Return the option that sets `section.key` in the commands that have one."""
    return "--" + key.rpartition(".")[2].replace("_", "-")


def build(values: Flat, origins: Mapping[str, str]) -> Config:
    """Check values against the schema.

    Raises:
        ConfigError: A value has the wrong type or is out of range.
    """
    nested: dict[str, Any] = {}
    for key, value in values.items():
        section, _, name = key.rpartition(".")
        (nested.setdefault(section, {}) if section else nested)[name] = value
    try:
        return Config.model_validate(nested)
    except ValidationError as error:
        raise refusal(error, origins) from error


def flatten(table: Mapping[str, Any], origin: str) -> Flat:
    """Flatten tables to `section.key`, and refuse unknown keys.

    Raises:
        ConfigError: A key is not a setting; the message names the nearest one.
    """
    flat: Flat = {}
    for name, value in table.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}.{key}": inner for key, inner in value.items()}
            if not value:
                require_known(name, origin, sections=True)
        else:
            flat[name] = value
    for key in flat:
        require_known(key, origin)
    return flat


def require_known(key: str, origin: str, *, sections: bool = False) -> None:
    """Refuse a key that is not in the schema.

    Args:
        key: `section.key`.
        origin: Where it was read, for the message.
        sections: Also accept the name of a section.

    Raises:
        ConfigError: With the nearest key as its hint.
    """
    known = known_keys()
    names = list(Config.model_fields) if sections else []
    if key in (*known, *names):
        return
    near = "." not in key and difflib.get_close_matches(key, names, n=1)
    hint = f"did you mean {near[0]}?" if near else setting_hint(key, known)
    raise ConfigError(
        f"{origin}: {key} is not a setting", hint=hint or "s2s config show lists them"
    )


def parse_override(text: str) -> tuple[str, Any]:
    """Split `section.key=value`; a value that is not TOML is text.

    Raises:
        ConfigError: There is no `=`, or the key is unknown.
    """
    key, equals, raw = text.partition("=")
    key = key.strip().replace("-", "_")
    if not equals:
        raise ConfigError(
            f"--set {text}: no '=' in it", hint="--set train.learning_rate=0.5"
        )
    require_known(key, SET)
    return key, _toml_value(raw.strip())


def parse_overrides(texts: Sequence[str]) -> Flat:
    """Parse several `section.key=value`; the last value of a key counts.

    Raises:
        ConfigError: A text has no `=`, or its key is unknown.
    """
    flat: Flat = {}
    for key, value in map(parse_override, texts):
        if key in flat and flat[key] != value:
            log.warning("--set %s: %s replaces %s", key, value, flat[key])
        flat[key] = value
    return flat


def _toml_value(raw: str) -> Any:
    try:
        return tomllib.loads(f"value = {raw}")["value"]
    except tomllib.TOMLDecodeError:
        return raw


def read_environment(environ: Mapping[str, str]) -> Flat:
    """Return the settings of variables `S2S_SECTION__KEY`.

    Raises:
        ConfigError: A variable begins with `S2S_` but is not that of a setting.
    """
    settings = {variable_of(key): key for key in known_keys()}
    flat: Flat = {}
    for variable, raw in sorted(environ.items()):
        if not variable.startswith(ENVIRONMENT_PREFIX):
            continue
        if variable.upper() not in settings:
            raise ConfigError(
                f"environment variable {variable} is not a setting",
                hint=variable_hint(variable, known_keys())
                or "variables are S2S_SECTION__KEY, such as S2S_TRAIN__SEED",
            )
        flat[settings[variable.upper()]] = _toml_value(raw)
    return flat


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting as `s2s config show` prints it.

    Attributes:
        field: The setting in the schema.
        value: The value, as a JSON value.
        origin: The layer it came from.
    """

    field: Field
    value: Any
    origin: str

    @property
    def toml(self) -> str:
        """The value as TOML."""
        return to_toml(self.value)


def describe_settings(loaded: Loaded) -> list[Setting]:
    """Return every setting with its value and origin, in order."""
    values = loaded.config.model_dump(mode="json")
    settings: list[Setting] = []
    for field in map(field_of, known_keys()):
        section, _, name = field.key.rpartition(".")
        value = (values[section] if section else values)[name]
        origin = loaded.origins.get(field.key, "default")
        settings.append(Setting(field, value, origin))
    return settings

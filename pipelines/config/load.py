"""Where settings come from: defaults < recipe < s2s.toml < S2S_* environment < flags.

Owns the reading and the first writing of `s2s.toml`. Every refusal names the key, the
place it came from and, for an unknown key, the nearest one.
"""

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import tomlkit
from pydantic import BaseModel, ValidationError

from pipelines.config.schema import Config, Section
from pipelines.errors import ConfigError, MissingArtifactError

FILE_NAME = "s2s.toml"
ENVIRONMENT_PREFIX = "S2S_"

Flat = dict[str, Any]  # "train.learning_rate" -> value


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration and, for each key, the place its value came from."""

    config: Config
    origins: Mapping[str, str]


def recipe_names() -> list[str]:
    """The recipes that ship with s2s."""
    folder = resources.files("pipelines.config") / "recipes"
    names = (entry.name for entry in folder.iterdir())
    return sorted(n.removesuffix(".toml") for n in names if n.endswith(".toml"))


def recipe_text(name: str) -> str:
    """The TOML text of a recipe.

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


def load(
    folder: Path,
    *,
    overrides: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
) -> Loaded:
    """Read a project's settings.

    Args:
        folder: The project's folder; it holds `s2s.toml`.
        overrides: `section.key=value` texts, the strongest layer.
        environ: Variables `S2S_SECTION__KEY`, weaker than `overrides`.

    Raises:
        MissingArtifactError: There is no `s2s.toml`.
        ConfigError: A file is not TOML, or a setting is unknown or wrong.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        raise MissingArtifactError(
            f"{path} not found",
            hint="s2s init makes a project; -d DIR names its folder",
        )
    own = flatten(_parse(path.read_bytes(), str(path)), str(path))
    name = str(own.get("recipe", Config().recipe))
    layers = [
        (f"recipe {name}", flatten(_parse(recipe_text(name).encode(), name), name)),
        (FILE_NAME, own),
        ("environment", _from_environment(environ or {})),
        ("--set", dict(parse_override(text) for text in overrides)),
    ]
    values: Flat = {}
    origins: dict[str, str] = {}
    for origin, layer in layers:
        values |= layer
        origins |= dict.fromkeys(layer, origin)
    return Loaded(build(values, origins), origins)


def build(values: Flat, origins: Mapping[str, str]) -> Config:
    """Check flat values against the schema.

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
        raise _refusal(error, origins) from error


def _refusal(error: ValidationError, origins: Mapping[str, str]) -> ConfigError:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"][:2])
    origin = f" ({origins[key]})" if key in origins else ""
    problem = first["msg"].removeprefix("Value error, ")
    problem = problem[0].lower() + problem[1:]
    if not isinstance(first["input"], dict | BaseModel):
        problem += f", found {first['input']!r}"
    return ConfigError(
        f"{key}{origin}: {problem}", hint="s2s config show lists every setting"
    )


def flatten(table: Mapping[str, Any], origin: str) -> Flat:
    """Turn nested tables into `section.key` and refuse unknown keys.

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


def known_keys() -> list[str]:
    """Every `section.key` there is, in the schema's order."""
    keys: list[str] = []
    for name, field in Config.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            keys += [f"{name}.{key}" for key in field.annotation.model_fields]
        else:
            keys.append(name)
    return keys


def require_known(key: str, origin: str, *, sections: bool = False) -> None:
    """Refuse a key that is not in the schema.

    Raises:
        ConfigError: With the nearest key as its hint.
    """
    known = list(Config.model_fields) if sections else known_keys()
    if key in known:
        return
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    if not near:  # the right name in the wrong section, or without one
        ends = {k: k.rpartition(".")[2] for k in known}
        name = key.rpartition(".")[2]
        close = difflib.get_close_matches(name, list(ends.values()), n=1, cutoff=0.5)
        near = [k for k, end in ends.items() if close and end == close[0]][:1]
    raise ConfigError(
        f"{origin}: {key} is not a setting",
        hint=f"did you mean {near[0]}?" if near else "s2s config show lists them",
    )


def parse_override(text: str) -> tuple[str, Any]:
    """Split `section.key=value`; the value is read as TOML, else taken as text.

    Raises:
        ConfigError: There is no `=`, or the key is unknown.
    """
    key, equals, raw = text.partition("=")
    key = key.strip().replace("-", "_")
    if not equals:
        raise ConfigError(
            f"--set {text}: no '=' in it", hint="--set train.learning_rate=0.5"
        )
    require_known(key, "--set")
    return key, _toml_value(raw.strip())


def _toml_value(raw: str) -> Any:
    try:
        return tomllib.loads(f"value = {raw}")["value"]
    except tomllib.TOMLDecodeError:
        return raw


def _from_environment(environ: Mapping[str, str]) -> Flat:
    flat: Flat = {}
    for variable, raw in sorted(environ.items()):
        body = variable.removeprefix(ENVIRONMENT_PREFIX)
        if body == variable or "__" not in body:
            continue
        key = body.lower().replace("__", ".", 1)
        require_known(key, f"environment variable {variable}")
        flat[key] = _toml_value(raw)
    return flat


def _parse(data: bytes, origin: str) -> dict[str, Any]:
    try:
        return tomllib.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{origin} is not UTF-8: {error.reason}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{origin} is not TOML: {error}") from error


def init_text(recipe: str, values: Flat) -> str:
    """The text of a new project's `s2s.toml`: the recipe's own, and `values` in it.

    Args:
        recipe: Name of the recipe; its text with all comments becomes the file.
        values: `section.key` -> value, put in place of the recipe's.

    Raises:
        ConfigError: The recipe or a key is unknown, or a value is wrong.
    """
    for key in values:
        require_known(key, "--set")
    text = recipe_text(recipe)
    merged = flatten(_parse(text.encode(), recipe), recipe) | values
    build(merged, dict.fromkeys(values, "--set"))
    document = tomlkit.parse(text)
    document["recipe"] = recipe
    for key, value in values.items():
        section, _, name = key.rpartition(".")
        table: Any = document.setdefault(section, tomlkit.table())
        table[name] = list(value) if isinstance(value, tuple) else value
    return tomlkit.dumps(document)


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting, for showing."""

    key: str
    value: Any
    origin: str
    meaning: str

    @property
    def toml(self) -> str:
        """The value as it stands in a TOML file."""
        text: str = tomlkit.item(self.value).as_string()
        return text


def describe_settings(loaded: Loaded) -> list[Setting]:
    """Every setting with its value, its origin and its meaning, in order."""
    values = loaded.config.model_dump(mode="json")
    settings: list[Setting] = []
    for key in known_keys():
        section, _, name = key.rpartition(".")
        model: type[BaseModel] = Config
        value = values[name] if not section else values[section][name]
        if section:
            model = type(getattr(loaded.config, section))
        meaning = model.model_fields[name].description or ""
        origin = loaded.origins.get(key, "default")
        settings.append(Setting(key, value, origin, " ".join(meaning.split())))
    return settings

"""Descriptions of settings: meaning, accepted values, and errors about a wrong value.

They are derived from the annotations of the schema, which also check the values.
"""

import difflib
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from pipelines.config.aliases import CHOICES
from pipelines.config.schema import Config
from pipelines.config.section import Expected, Section
from pipelines.errors import ConfigError

_BOUNDS = {"ge": "of at least", "gt": "greater than", "le": "of at most", "lt": "below"}


def known_keys() -> list[str]:
    """Return every `section.key`, in the order of the schema."""
    keys: list[str] = []
    for name, field in Config.model_fields.items():
        if (model := section_model(field)) is not None:
            keys += [f"{name}.{key}" for key in model.model_fields]
        else:
            keys.append(name)
    return keys


def section_model(field: FieldInfo) -> type[Section] | None:
    """Return the model of a section; None for a setting outside any section."""
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


@dataclass(frozen=True, slots=True)
class Field:
    """One setting of the schema.

    Attributes:
        key: `section.key`.
        default: The default, as a JSON value.
        meaning: The description, on one line.
        choices: The accepted values if all of them are words.
        words: The words among the accepted values.
        expected: A description of the accepted values; empty if there is none.
    """

    key: str
    default: Any
    meaning: str
    choices: tuple[str, ...] | None
    words: tuple[str, ...]
    expected: str


def field_of(key: str) -> Field:
    """Return the setting of a `section.key`."""
    section, _, name = key.rpartition(".")
    model = section_model(Config.model_fields[section]) if section else Config
    assert model is not None, key
    info = model.model_fields[name]
    words = tuple(w for part in (info.annotation, *info.metadata) for w in _words(part))
    return Field(
        key,
        model().model_dump(mode="json")[name],
        " ".join((info.description or "").split()),
        words if get_origin(info.annotation) is Literal else None,
        words,
        _describe(info.annotation, tuple(info.metadata)),
    )


def _words(kind: Any) -> Iterable[str]:
    """Yield the words that an annotation accepts."""
    if isinstance(kind, Expected):
        yield from kind.words
    elif get_origin(kind) is Literal:
        yield from map(str, get_args(kind))
    elif get_origin(kind) in (Annotated, Union, types.UnionType):
        for part in get_args(kind):
            yield from _words(part)


def _describe(kind: Any, metadata: tuple[Any, ...] = ()) -> str:
    """Describe the values that an annotation accepts; empty if it cannot be said."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        own = [
            part
            for item in arguments[1:]
            for part in (item.metadata if isinstance(item, FieldInfo) else [item])
        ]
        return _describe(arguments[0], (*own, *metadata))
    for item in metadata:
        if isinstance(item, Expected):
            return item.text
    if origin is Literal:
        return _join(map(str, arguments))
    if origin in (Union, types.UnionType):
        return ", or ".join(_describe(part) for part in arguments)
    if origin is tuple and arguments[-1] is not Ellipsis:
        return f"{len(arguments)} values, each {_describe(arguments[0])}"
    nouns: dict[Any, str] = {
        bool: "true or false",
        int: "an integer",
        float: "a number",
        str: "text",
    }
    noun = nouns.get(kind, "")
    bounds = [
        f"{words} {getattr(item, name):g}"
        for name, words in _BOUNDS.items()
        for item in metadata
        if getattr(item, name, None) is not None
    ]
    return " ".join([noun, " and ".join(bounds)]).strip() if noun else ""


def _join(words: Iterable[str]) -> str:
    *first, last = words
    if not first:
        return last
    return f"{'one of ' * (len(first) > 1)}{', '.join(first)} or {last}"


def refusal(error: ValidationError, origins: Mapping[str, str]) -> ConfigError:
    """Return the error for a value that the schema refuses.

    Args:
        error: The error of pydantic; its first problem is reported.
        origins: Where each `section.key` came from. A command-line option is named
            instead of the setting that it sets.
    """
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"][:2])
    value = first["input"]
    expected, hint = "", f"s2s config show {key} shows these settings and their origins"
    if key in known_keys():
        field = field_of(key)
        hint = f"{key}: {field.meaning}"
        if first["type"] != "value_error":
            expected = f"expected {field.expected}" if field.expected else ""
            if near := _nearest(value, field.words):
                hint = f"did you mean {near}?"
    origin = origins.get(key, "")
    if expected and origin.startswith("--") and origin != "--set":
        return ConfigError(f"{origin} {value}: {expected}", hint=hint)
    problem = expected or _plain(first["msg"])
    if not isinstance(value, dict | BaseModel):
        shown = str(value).lower() if isinstance(value, bool) else repr(value)
        problem += f", found {shown}"
    return ConfigError(f"{key}{origin and f' ({origin})'}: {problem}", hint=hint)


def _plain(message: str) -> str:
    message = message.removeprefix("Value error, ")
    return message[0].lower() + message[1:]


def _nearest(value: Any, choices: tuple[str, ...]) -> str:
    name = str(value).lower()
    if CHOICES.get(name) in choices:
        return CHOICES[name]
    return next(iter(difflib.get_close_matches(name, choices, n=1)), "")

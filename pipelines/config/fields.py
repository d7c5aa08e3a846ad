"""What a setting accepts, in plain words, and what is wrong with a value.

Reads the schema's annotations, so that a message cannot differ from the check.
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
    """Every `section.key` there is, in the schema's order."""
    keys: list[str] = []
    for name, field in Config.model_fields.items():
        if (model := section_model(field)) is not None:
            keys += [f"{name}.{key}" for key in model.model_fields]
        else:
            keys.append(name)
    return keys


def section_model(field: FieldInfo) -> type[Section] | None:
    """The model of a section; None for a setting outside any."""
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


@dataclass(frozen=True, slots=True)
class Field:
    """One setting of the schema.

    Attributes:
        key: `section.key`.
        default: As a JSON value.
        meaning: Its description, on one line.
        choices: The values it accepts, where these are words and nothing else.
        words: The words among the values it accepts.
        expected: What it accepts, in words; empty where only pydantic can say.
    """

    key: str
    default: Any
    meaning: str
    choices: tuple[str, ...] | None
    words: tuple[str, ...]
    expected: str


def field_of(key: str) -> Field:
    """A setting, by its `section.key`."""
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
    """The words that an annotation names."""
    if isinstance(kind, Expected):
        yield from kind.words
    elif get_origin(kind) is Literal:
        yield from map(str, get_args(kind))
    elif get_origin(kind) in (Annotated, Union, types.UnionType):
        for part in get_args(kind):
            yield from _words(part)


def _describe(kind: Any, metadata: tuple[Any, ...] = ()) -> str:
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
    """The error for a user whose value the schema refuses.

    Args:
        error: What pydantic found; the first problem is reported.
        origins: Where each `section.key` came from; a typed flag is named in its place.
    """
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"][:2])
    found = first["input"]
    expected, hint = "", f"s2s config show {key} shows these settings and their origins"
    if key in known_keys():
        field = field_of(key)
        hint = f"{key}: {field.meaning}"
        if first["type"] != "value_error":
            expected = f"expected {field.expected}" if field.expected else ""
            if near := _nearest(found, field.words):
                hint = f"did you mean {near}?"
    origin = origins.get(key, "")
    if expected and origin.startswith("--") and origin != "--set":
        return ConfigError(f"{origin} {found}: {expected}", hint=hint)
    problem = expected or _plain(first["msg"])
    if not isinstance(found, dict | BaseModel):
        shown = str(found).lower() if isinstance(found, bool) else repr(found)
        problem += f", found {shown}"
    return ConfigError(f"{key}{origin and f' ({origin})'}: {problem}", hint=hint)


def _plain(message: str) -> str:
    message = message.removeprefix("Value error, ")
    return message[0].lower() + message[1:]


def _nearest(found: Any, choices: tuple[str, ...]) -> str:
    name = str(found).lower()
    if CHOICES.get(name) in choices:
        return CHOICES[name]
    return next(iter(difflib.get_close_matches(name, choices, n=1)), "")

"""TOML text: parsing with hints about a wrong line, and formatting of values."""

import re
import tomllib
from typing import Any

import tomlkit

from pipelines.errors import ConfigError

_PLACE = re.compile(r"\(at line (\d+), column \d+\)")
_SETTING = re.compile(r"\s*(?P<key>[\w.-]+)\s*(?P<sign>[=:])\s*(?P<value>[^#]*)")
_BOOLEANS = {"yes": "true", "on": "true", "no": "false", "off": "false"}


def parse_toml(data: bytes, origin: str) -> dict[str, Any]:
    """Parse a TOML file.

    Args:
        data: The bytes of the file.
        origin: The name of the file in messages.

    Raises:
        ConfigError: The file is not TOML or not UTF-8. The message has the line, and
            the hint how to correct it if that is clear.
    """
    try:
        text = data.decode("utf-8")
        return tomllib.loads(f"{text}\n")  # with a last LF, messages have a line
    except UnicodeDecodeError as error:
        raise ConfigError(f"{origin} is not UTF-8: {error.reason}") from error
    except tomllib.TOMLDecodeError as error:
        problem = str(error)
        place = _PLACE.search(problem)
        line = f"{text}\n".split("\n")[int(place[1]) - 1] if place else ""
        shown = f": {line.strip()}" if line.strip() else ""
        raise ConfigError(
            f"{origin} is not TOML: {problem}{shown}", hint=_hint(problem, line)
        ) from error


def to_toml(value: Any) -> str:
    """Format a value as TOML."""
    text: str = tomlkit.item(value).as_string()
    return text


def _hint(problem: str, line: str) -> str:
    """Return how to correct a line; empty if that is not clear."""
    if problem.startswith("Unclosed array"):
        return "a list ends with ]"
    if problem.startswith("Cannot overwrite"):
        return "this key is twice in its section: remove one of the two lines"
    if problem.startswith("Cannot declare"):
        return "this section is there twice: move its settings below the first one"
    setting = _SETTING.match(line)
    if not line.strip():
        return ""
    if not setting:
        return "a line is a comment (# ...), a [section] or key = value"
    key, value = setting["key"], setting["value"].strip()
    if setting["sign"] == ":":
        return f"write {key} = {value}"
    if re.fullmatch(r"\d+,\d+", value):
        return f"write {key} = {value.replace(',', '.')}"
    word = _BOOLEANS.get(value.lower(), value.lower())
    if word in ("true", "false"):
        return f"write {key} = {word}"
    if re.fullmatch(r"[\w.:/-]*[^\W\d][\w.:/-]*", value):
        return f'text needs quotes: {key} = "{value}"'
    return ""

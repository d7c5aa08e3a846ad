"""Reads TOML, and says in plain words what is wrong with a line of it."""

import re
import tomllib
from typing import Any

from pipelines.errors import ConfigError

_PLACE = re.compile(r"\(at line (\d+), column \d+\)")
_SETTING = re.compile(r"\s*(?P<key>[\w.-]+)\s*(?P<sign>[=:])\s*(?P<value>[^#]*)")
_BOOLEANS = {"yes": "true", "on": "true", "no": "false", "off": "false"}


def parse_toml(data: bytes, origin: str) -> dict[str, Any]:
    """Parse a TOML file.

    Args:
        data: Its bytes.
        origin: What messages call it.

    Raises:
        ConfigError: It is not TOML or not UTF-8; the message has the line, and the hint
            what it should be where that is plain.
    """
    try:
        text = data.decode("utf-8")
        return tomllib.loads(f"{text}\n")  # its messages then have a line
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


def _hint(problem: str, line: str) -> str:
    """What to do about a line; empty where that is not plain."""
    if problem.startswith("Unclosed array"):
        return "a list ends with ]"
    if problem.startswith("Cannot overwrite"):
        return "this key stands twice in its section: remove one of the two lines"
    if problem.startswith("Cannot declare"):
        return "this section stands twice: put its settings below the first one"
    found = _SETTING.match(line)
    if not line.strip():
        return ""
    if not found:
        return "a line is a comment (# ...), a [section] or key = value"
    key, value = found["key"], found["value"].strip()
    if found["sign"] == ":":
        return f"write {key} = {value}"
    if re.fullmatch(r"\d+,\d+", value):
        return f"write {key} = {value.replace(',', '.')}"
    word = _BOOLEANS.get(value.lower(), value.lower())
    if word in ("true", "false"):
        return f"write {key} = {word}"
    if re.fullmatch(r"[\w.:/-]*[^\W\d][\w.:/-]*", value):
        return f'text stands in quotes: {key} = "{value}"'
    return ""

"""Usage errors of the command-line parser, in the form of all other errors.

Typer draws a box with a usage line. Here such an error becomes the fact and a hint,
which `s2scli.main` prints as it prints every `S2SError`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from pydantic import ValidationError

from pipelines.errors import UsageError

_EXPECTED = {
    "int_parsing": "an integer",
    "float_parsing": "a number",
    "greater_than_equal": "at least {ge:g}",
    "less_than_equal": "at most {le:g}",
}
"""What a value should have been, by pydantic's type of the error."""


def command_path(ctx: Any) -> str:
    """The command as the help names it, however the program was started."""
    parts: list[str] = []
    while ctx.parent is not None:
        parts.insert(0, ctx.info_name or "")
        ctx = ctx.parent
    return " ".join(["s2s", *parts])


@contextmanager
def as_usage_errors(ctx: Any) -> Iterator[None]:
    """Translate the parser's errors while a command line is read.

    Args:
        ctx: Typer's context of the command.

    Raises:
        UsageError: The parser has refused something.
    """
    try:
        yield
    except typer.TyperException as error:
        path = command_path(ctx)
        raise UsageError(
            _fact(error, path), hint=f"{path} --help explains it"
        ) from error


def _fact(error: typer.TyperException, path: str) -> str:
    option = getattr(error, "option_name", "")
    if option:  # it needs a value
        return _plain(
            error.message.removeprefix("Option ").replace(repr(option), option)
        )
    param = getattr(error, "param", None)
    if param is None:
        return _plain(error.format_message())
    name = param.get_error_hint().replace(" / ", "/").replace("'", "")
    if hasattr(error, "param_type"):  # it is missing
        return f"{path} needs {name}"
    if not isinstance(error.__cause__, ValidationError):
        return f"{name}: {_plain(error.message)}"
    first = error.__cause__.errors()[0]
    expected = _EXPECTED.get(first["type"])
    if expected is None:
        return f"{name} {first['input']}: {_plain(first['msg'])}"
    return (
        f"{name} {first['input']}: expected {expected.format(**first.get('ctx', {}))}"
    )


def _plain(message: str) -> str:
    message = message.removeprefix("Value error, ").removesuffix(".")
    return message[:1].lower() + message[1:]

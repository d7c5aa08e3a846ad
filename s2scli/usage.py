"""Usage errors: the command-line parser's errors as a fact and a hint.

Typer would print them in a box below a usage line. As a `UsageError` they are printed
by `s2scli.main` in the form of every other error.
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
"""The expected value, by pydantic's type of the error."""


def command_path(ctx: Any) -> str:
    """Return the words that call a command, such as `s2s config show`.

    The first one is `s2s` however the program was started.
    """
    words: list[str] = []
    while ctx.parent is not None:
        words.insert(0, ctx.info_name or "")
        ctx = ctx.parent
    return " ".join(["s2s", *words])


@contextmanager
def as_usage_errors(ctx: Any) -> Iterator[None]:
    """Turn the parser's errors in the block into `UsageError`.

    Args:
        ctx: Typer's context of the command.

    Raises:
        UsageError: The parser refused something.
    """
    try:
        yield
    except typer.TyperException as error:
        path = command_path(ctx)
        raise UsageError(
            _describe(error, path), hint=f"{path} --help explains it"
        ) from error


def _describe(error: typer.TyperException, path: str) -> str:
    """Return the fact: the option or argument, its value and what was expected."""
    option = getattr(error, "option_name", "")
    if option:  # a value is missing, or one was given to a flag
        return _without_frame(
            error.message.removeprefix("Option ").replace(repr(option), option)
        )
    param = getattr(error, "param", None)
    if param is None:
        return _without_frame(error.format_message())
    name = param.get_error_hint().replace(" / ", "/").replace("'", "")
    if hasattr(error, "param_type"):  # the option or argument is missing
        return f"{path} needs {name}"
    if not isinstance(error.__cause__, ValidationError):
        return f"{name}: {_without_frame(error.message)}"
    first = error.__cause__.errors()[0]
    expected = _EXPECTED.get(first["type"])
    if expected is None:
        return f"{name} {first['input']}: {_without_frame(first['msg'])}"
    return (
        f"{name} {first['input']}: expected {expected.format(**first.get('ctx', {}))}"
    )


def _without_frame(message: str) -> str:
    """Remove pydantic's prefix, the full stop and the capital of a message."""
    message = message.removeprefix("Value error, ").removesuffix(".")
    return message[:1].lower() + message[1:]

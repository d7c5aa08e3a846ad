"""The command `s2s config show`: settings, their origins and meanings."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from pipelines.config.load import Setting, describe_settings, require_known
from pipelines.config.toml_text import to_toml
from s2scli.completion import complete_setting
from s2scli.console import print_commented, print_json, print_lines
from s2scli.options import Json, Request, with_common_options
from s2scli.strict import StrictCommand, StrictGroup

app = typer.Typer(cls=StrictGroup, no_args_is_help=True, help="Show the settings.")


@app.callback()
def _group() -> None:
    """Show the settings."""


@app.command("show", cls=StrictCommand)
@with_common_options
def show(
    request: Request,
    key: Annotated[
        str | None,
        typer.Argument(
            help="Show only this setting or section.",
            metavar="SECTION.KEY",
            autocompletion=complete_setting,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show every setting: its value, where it came from and what it means.

    With --json, print the value, origin, meaning, choices and default of each setting.

    Example: s2s config show train.optimizer
    """
    project = request.project()
    if key is not None:
        key = key.replace("-", "_")
        require_known(key, "config show", sections=True)
    settings = [
        s
        for s in describe_settings(project.loaded)
        if key is None or s.field.key == key or s.field.key.startswith(f"{key}.")
    ]
    if as_json:
        print_json({s.field.key: _json(s) for s in settings})
    elif [s.field.key for s in settings] == [key]:
        print_lines(_details(settings[0]))
    else:
        print_commented(_commented(settings))


def _json(setting: Setting) -> dict[str, Any]:
    described = {
        n: getattr(setting.field, n) for n in ("meaning", "choices", "default")
    }
    return {"value": setting.value, "origin": setting.origin, **described}


def _details(setting: Setting) -> list[str]:
    """Return all that is known about one setting, a line each."""
    field = setting.field
    lines = [
        f"{field.key} = {setting.toml}",
        f"origin: {setting.origin}",
        f"meaning: {field.meaning}",
        f"default: {to_toml(field.default)}",
    ]
    if field.choices:
        lines.append(f"choices: {', '.join(field.choices)}")
    return lines


def _commented(settings: Sequence[Setting]) -> list[tuple[str, str]]:
    """Return TOML lines and comments with the meaning and origin of each setting."""
    lines: list[tuple[str, str]] = []
    section = ""
    for s in settings:
        head, _, name = s.field.key.rpartition(".")
        if head != section:
            section = head
            lines += [("", ""), (f"[{head}]", "")]
        lines.append((f"{name} = {s.toml}", f"{s.field.meaning} ({s.origin})"))
    return lines

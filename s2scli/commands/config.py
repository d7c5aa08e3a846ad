"""`s2s config`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from s2scli.completion import complete_setting
from s2scli.console import print_commented, print_json, print_lines
from s2scli.options import Json, Request, with_common_options
from s2scli.strict import StrictCommand, StrictGroup

if TYPE_CHECKING:
    from pipelines.config.load import Setting

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
    from pipelines.config.load import describe_settings, require_known

    project = request.project()
    if key is not None:
        key = key.replace("-", "_")
        require_known(key, "config show", sections=True)
    settings = [
        s
        for s in describe_settings(project.loaded)
        if key is None or s.key == key or s.key.startswith(f"{key}.")
    ]
    if as_json:
        names = ("value", "origin", "meaning", "choices", "default")
        print_json({s.key: {n: getattr(s, n) for n in names} for s in settings})
    elif [s.key for s in settings] == [key]:
        print_lines(_one(settings[0]))
    else:
        print_commented(_all(settings))


def _one(setting: "Setting") -> list[str]:
    from pipelines.config.toml_text import to_toml

    lines = [
        f"{setting.key} = {setting.toml}",
        f"origin: {setting.origin}",
        f"meaning: {setting.meaning}",
        f"default: {to_toml(setting.default)}",
    ]
    if setting.choices:
        lines.append(f"choices: {', '.join(setting.choices)}")
    return lines


def _all(settings: "Sequence[Setting]") -> list[tuple[str, str]]:
    lines: list[tuple[str, str]] = []
    section = ""
    for s in settings:
        head, _, name = s.key.rpartition(".")
        if head != section:
            section = head
            lines += [("", ""), (f"[{head}]", "")]
        lines.append((f"{name} = {s.toml}", f"{s.meaning} ({s.origin})"))
    return lines

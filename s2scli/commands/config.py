"""`s2s config`."""

from typing import Annotated, Any

import typer

from s2scli.completion import complete_setting
from s2scli.console import print_commented, print_json
from s2scli.options import Json, Request, with_common_options

app = typer.Typer(no_args_is_help=True, help="Show the settings.")


@app.callback()
def _group() -> None:
    """Show the settings."""


@app.command("show")
@with_common_options
def show(
    request: Request,
    key: Annotated[
        str | None,
        typer.Argument(
            help="One setting, or a section.",
            metavar="[SECTION.KEY]",
            autocompletion=complete_setting,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show every setting: its value, where it came from and what it means."""
    from pipelines.config.load import describe_settings, require_known

    project = request.project()
    if key is not None:
        require_known(key, "config show", sections="." not in key)
    settings = [
        s
        for s in describe_settings(project.loaded)
        if key is None or s.key == key or s.key.startswith(f"{key}.")
    ]
    if as_json:
        values: dict[str, Any] = {s.key: s.value for s in settings}
        print_json(values)
        return
    lines: list[tuple[str, str]] = []
    section = ""
    for s in settings:
        head, _, name = s.key.rpartition(".")
        if head != section:
            section = head
            lines += [("", ""), (f"[{head}]", "")]
        lines.append((f"{name} = {s.toml}", f"{s.meaning} ({s.origin})"))
    print_commented(lines)

"""Options that several commands share, and the project they name."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.artifacts.layout import Layout
from pipelines.config import Config, load
from pipelines.config.load import FILE_NAME, Loaded, build, parse_override
from s2scli.console import LogFormat, configure

Dir = Annotated[
    Path,
    typer.Option("-d", "--dir", help="The project's folder.", show_default="."),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="SECTION.KEY=VALUE",
        help="Override a setting for this command; repeatable.",
    ),
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Only warnings and errors.")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Tell more.")]
Format = Annotated[
    LogFormat, typer.Option("--log-format", help="How to log on standard error.")
]
Force = Annotated[
    bool, typer.Option("--force", help="Run this stage even if it is up to date.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Device = Annotated[
    str | None, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")
]
Workers = Annotated[
    int | None, typer.Option("--workers", help="Processes; 0: one for each core.")
]


@dataclass(frozen=True, slots=True)
class Project:
    """A project's settings and folders."""

    loaded: Loaded
    layout: Layout

    @property
    def config(self) -> Config:
        """The settings."""
        return self.loaded.config


def open_project(
    folder: Path, overrides: Iterable[str] | None, **flags: Any
) -> Project:
    """Load the settings of a project.

    Args:
        folder: It holds `s2s.toml`.
        overrides: The values of `--set`.
        **flags: `section__key=value` of typed flags; None is left out.
    """
    texts = [*(overrides or ()), *_typed(flags)]
    loaded = load(folder, overrides=texts, environ=os.environ)
    return Project(loaded, Layout(folder))


def section_settings(
    folder: Path, overrides: Iterable[str] | None, flags: Mapping[str, Any]
) -> Config:
    """Settings for a command that needs no project; a project's own where there is one.

    Args:
        folder: May or may not hold `s2s.toml`.
        overrides: The values of `--set`.
        flags: As for `open_project`.
    """
    if (folder / FILE_NAME).exists():
        return open_project(folder, overrides, **flags).config
    texts = [*(overrides or ()), *_typed(flags)]
    return build(dict(parse_override(text) for text in texts), {})


def _typed(flags: Mapping[str, Any]) -> list[str]:
    return [
        f"{name.replace('__', '.', 1)}={_toml(value)}"
        for name, value in flags.items()
        if value is not None
    ]


def _toml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def start_logging(quiet: bool, verbose: bool, log_format: LogFormat) -> None:
    """Apply -q, -v and --log-format."""
    configure(quiet=quiet, verbose=verbose, log_format=log_format)

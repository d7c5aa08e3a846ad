"""Options that several commands share, and the project they name."""

import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.artifacts.layout import Layout
from pipelines.config import Config, load
from pipelines.config.load import FILE_NAME, Loaded, build, parse_override
from s2scli.completion import complete_model, complete_override, values_of
from s2scli.console import LogFormat, configure

Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Only warnings and errors.")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Tell more.")]
Format = Annotated[
    LogFormat, typer.Option("--log-format", help="How to log on standard error.")
]
Force = Annotated[
    bool, typer.Option("--force", help="Run this stage even if it is up to date.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print the cost; write nothing.")
]
Device = Annotated[
    str | None,
    typer.Option(
        "--device",
        help="auto, cpu, cuda or cuda:N.",
        autocompletion=values_of("translate.device"),
    ),
]
Precision = Annotated[
    str | None,
    typer.Option(
        "--precision",
        help="auto, fp32, tf32, bf16 or int8.",
        autocompletion=values_of("translate.precision"),
    ),
]
Model = Annotated[
    list[Path] | None,
    typer.Option(
        "-m",
        "--model",
        help="A checkpoint's folder, which needs no project, or a project; several "
        "are an ensemble.",
        autocompletion=complete_model,
    ),
]
ModelWeight = Annotated[
    list[float] | None,
    typer.Option(
        "--model-weight", help="Of each --model in the vote; equal by default."
    ),
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


@dataclass(frozen=True, slots=True)
class Request:
    """What the common options of a command say."""

    folder: Path
    overrides: tuple[str, ...]

    def project(self, **flags: Any) -> Project:
        """Load the project.

        Args:
            **flags: `section__key=value` of typed flags; None is left out.
        """
        texts = [*self.overrides, *_typed(flags)]
        loaded = load(self.folder, overrides=texts, environ=os.environ)
        return Project(loaded, Layout(self.folder))

    def settings(self, **flags: Any) -> Config:
        """Settings for a command that needs no project; those of one that is there."""
        if (self.folder / FILE_NAME).exists():
            return self.project(**flags).config
        texts = [*self.overrides, *_typed(flags)]
        return build(dict(parse_override(text) for text in texts), {})


def with_common_options(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command -d, --set, -q, -v and --log-format.

    Args:
        function: Takes a `Request` first, then its own options.
    """

    @wraps(function)
    def command(
        *,
        folder: Path,
        overrides: list[str] | None,
        quiet: bool,
        verbose: bool,
        log_format: LogFormat,
        **own: Any,
    ) -> None:
        configure(quiet=quiet, verbose=verbose, log_format=log_format)
        function(Request(folder, tuple(overrides or ())), **own)

    own = list(inspect.signature(function).parameters.values())[1:]
    common = list(inspect.signature(_common).parameters.values())
    # Typer reads what a command takes from its signature.
    command.__signature__ = inspect.Signature([*own, *common])  # type: ignore[attr-defined] # a function's attribute
    command.__annotations__ = {p.name: p.annotation for p in (*own, *common)}
    return command


def _common(
    folder: Annotated[
        Path,
        typer.Option("-d", "--dir", help="The project's folder.", show_default="."),
    ] = Path(),
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="SECTION.KEY=VALUE",
            help="Override a setting for this command; repeatable.",
            autocompletion=complete_override,
        ),
    ] = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    log_format: Format = LogFormat.TEXT,
) -> None:
    """The options that `with_common_options` adds."""


def refuse(condition: bool, message: str) -> None:
    """End with a usage error where options contradict each other."""
    if condition:
        raise typer.BadParameter(message)


def _typed(flags: Mapping[str, Any]) -> list[str]:
    return [
        f"{name.replace('__', '.', 1)}={_toml(value)}"
        for name, value in flags.items()
        if value is not None
    ]


def _toml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)

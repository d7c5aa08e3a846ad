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
from pipelines.config.load import Loaded
from pipelines.errors import UsageError
from s2scli.completion import (
    complete_model,
    complete_override,
    complete_split,
    values_of,
)
from s2scli.console import LogFormat, configure_logging

Quiet = Annotated[
    bool, typer.Option("-q", "--quiet", help="Show only warnings and errors.")
]
Verbose = Annotated[
    bool, typer.Option("-v", "--verbose", help="Also show debugging messages.")
]
Format = Annotated[
    LogFormat,
    typer.Option(
        "--log-format", help="Log on standard error in this format (text, json)."
    ),
]
Force = Annotated[
    bool, typer.Option("--force", help="Run this stage even if it is up to date.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Device = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="DEVICE",
        help="Run on this device (auto, cpu, cuda, cuda:N).",
        autocompletion=values_of("translate.device"),
    ),
]
Precision = Annotated[
    str | None,
    typer.Option(
        "--precision",
        metavar="NAME",
        help="Multiply matrices in this precision (auto, fp32, tf32, bf16, int8).",
        autocompletion=values_of("translate.precision"),
    ),
]
Model = Annotated[
    list[Path] | None,
    typer.Option(
        "-m",
        "--model",
        metavar="DIR",
        help="Use this model, the folder of a checkpoint or of a project; repeatable, "
        "for an ensemble.",
        autocompletion=complete_model,
    ),
]
ModelWeight = Annotated[
    list[float] | None,
    typer.Option(
        "--model-weight",
        metavar="WEIGHT",
        help="Give each --model a weight in the ensemble; equal by default.",
    ),
]
Split = Annotated[
    str | None,
    typer.Option(
        "--split",
        metavar="test|valid",
        autocompletion=complete_split,
        help="Take this split of the project (test, valid); each has its own folders.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers", metavar="N", help="Start N processes; 0 starts one for each core."
    ),
]


Flags = Mapping[str, Any]
"""`section.key` -> value of an option that sets it; None where it is not given."""
_NO_FLAGS: Flags = {}


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

    def project(self, flags: Flags = _NO_FLAGS) -> Project:
        """Load the project; its `s2s.toml` must exist."""
        return Project(self._load(flags, needs_file=True), Layout(self.folder))

    def settings(self, flags: Flags = _NO_FLAGS) -> Config:
        """Load the settings for a command that needs no project."""
        return self._load(flags, needs_file=False).config

    def _load(self, flags: Flags, *, needs_file: bool) -> Loaded:
        return load(
            self.folder,
            overrides=self.overrides,
            flags={key: value for key, value in flags.items() if value is not None},
            environ=os.environ,
            needs_file=needs_file,
        )


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
        configure_logging(quiet=quiet, verbose=verbose, log_format=log_format)
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
        typer.Option(
            "-d",
            "--dir",
            metavar="DIR",
            help="Work in the project in this folder.",
        ),
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


def refuse_if(condition: bool, message: str, hint: str) -> None:
    """Refuse options that contradict each other.

    Args:
        condition: Whether they do.
        message: The fact.
        hint: What to do instead.

    Raises:
        UsageError: They do.
    """
    if condition:
        raise UsageError(message, hint=hint)

"""Options that several commands share, and the project that they name."""

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
        "--log-format",
        metavar="FORMAT",
        help="Write log lines in this format (text, json).",
    ),
]
Force = Annotated[
    bool, typer.Option("--force", help="Run this stage again even if it is up to date.")
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
        help="Use the model in this folder (a checkpoint or a project); repeat for an "
        "ensemble.",
        autocompletion=complete_model,
    ),
]
ModelWeight = Annotated[
    list[float] | None,
    typer.Option(
        "--model-weight",
        metavar="WEIGHT",
        help="Weight a model of the ensemble, once for each --model; equal by default.",
    ),
]
Split = Annotated[
    str | None,
    typer.Option(
        "--split",
        metavar="SPLIT",
        autocompletion=complete_split,
        help="Use this split of the project (test, valid), which has its own folders.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers", metavar="N", help="Run N processes; 0 runs one for each core."
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
    """The project's folder and the overrides that a command line names."""

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
    """Add -d, --set, -q, -v and --log-format to a command.

    Args:
        function: The command; it takes a `Request` first, then its own options.
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
    command.__signature__ = inspect.Signature([*own, *common])  # type: ignore[attr-defined] # Typer reads it
    command.__annotations__ = {p.name: p.annotation for p in (*own, *common)}
    return command


def _common(
    folder: Annotated[
        Path,
        typer.Option(
            "-d",
            "--dir",
            metavar="DIR",
            help="Use the project in this folder.",
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
        condition: Whether they contradict each other.
        message: The fact.
        hint: What to do instead.

    Raises:
        UsageError: The condition holds.
    """
    if condition:
        raise UsageError(message, hint=hint)

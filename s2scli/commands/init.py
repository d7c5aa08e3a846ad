"""The command `s2s init`: create a project and summarize its training."""

import logging
import shlex
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from pipelines.config import recipe_names
from pipelines.config.load import parse_overrides
from pipelines.errors import S2SError, UsageError
from s2scli.completion import complete_override
from s2scli.console import LogFormat, configure_logging, print_lines, show_note
from s2scli.estimate import summary_lines
from s2scli.options import Format, Project, Quiet, Request, Verbose
from s2scli.strict import StrictCommand

log = logging.getLogger("pipelines.estimate")

_FILES = "SOURCE TARGET"
_LARGEST_TEXT_BYTES = 64 << 20
"""Largest text that is read for the summary."""


class FilePair(NamedTuple):
    """The source file and the target file that an option with two values names."""

    source: Path
    target: Path


class InitCommand(StrictCommand):
    """A command whose options for pairs of files take two values and are repeatable.

    Typer has options for lists and for tuples, but none for lists of tuples.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for param in self.params:
            if param.name in ("train", "valid", "test"):
                param.nargs = len(FilePair._fields)


def command(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Create the project in this folder.")
    ] = Path(),
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Start from this recipe (numbers, small, paper); by default small "
            "if text is named, else numbers.",
            autocompletion=recipe_names,
        ),
    ] = None,
    source_lang: Annotated[
        str | None,
        typer.Option(
            "-s",
            "--source-lang",
            "--src",
            metavar="CODE",
            help="Set the source language, such as de; by default it is read from the "
            "file names.",
        ),
    ] = None,
    target_lang: Annotated[
        str | None,
        typer.Option(
            "-t",
            "--target-lang",
            "--tgt",
            metavar="CODE",
            help="Set the target language, such as en; by default it is read from the "
            "file names.",
        ),
    ] = None,
    train: Annotated[
        list[FilePair] | None,
        typer.Option(
            metavar=_FILES,
            help="Train on these files; repeat for several corpora.",
        ),
    ] = None,
    valid: Annotated[
        list[FilePair] | None,
        typer.Option(
            metavar=_FILES, help="Validate on these files; repeat for several corpora."
        ),
    ] = None,
    test: Annotated[
        list[FilePair] | None,
        typer.Option(metavar=_FILES, help="Translate and score these files."),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="SECTION.KEY=VALUE",
            help="Write a setting into s2s.toml; repeatable.",
            autocompletion=complete_override,
        ),
    ] = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Replace s2s.toml, but no text, and keep the old one as s2s.toml.bak.",
        ),
    ] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    log_format: Format = LogFormat.TEXT,
) -> None:
    """Create a project: write DIR/s2s.toml and summarize its training.

    The recipe numbers needs no text: it writes number words into DIR/data, in English
    and French or in the languages of -s and -t. The path of s2s.toml goes to standard
    output, the summary and the next command to standard error.

    Example: s2s init demo --train train.de train.en --valid valid.de valid.en
    """
    from pipelines.tools.init import NUMBERS, names_text, run

    configure_logging(quiet=quiet, verbose=verbose, log_format=log_format)
    if test is not None and len(test) > 1:
        raise UsageError(
            f"--test is given {len(test)} times: there is one test set",
            hint="translate and score further ones with s2s translate -i FILE and "
            "s2s score --ref FILE",
        )
    values: dict[str, Any] = {
        "data.source_lang": source_lang,
        "data.target_lang": target_lang,
        "data.train": _names(train),
        "data.valid": _names(valid),
        "data.test": _names(test),
    }
    values = {key: value for key, value in values.items() if value is not None}
    sets = parse_overrides(overrides or ())
    twice = sorted(values.keys() & sets.keys())
    if twice:
        raise UsageError(
            f"{twice[0]} is set twice, by --set and by an option of its own",
            hint="leave one out",
        )
    values |= sets
    chosen = recipe or ("small" if names_text(values) else NUMBERS)
    path = run(folder, chosen, values, force=force)
    print_lines([str(path)])
    _show_summary(folder)


def _names(pairs: list[FilePair] | None) -> list[list[str]] | list[str] | None:
    """Return pairs of files as a setting has them: one pair is not a list of pairs."""
    names = [[str(pair.source), str(pair.target)] for pair in pairs or ()]
    return names[0] if len(names) == 1 else names or None


def _show_summary(folder: Path) -> None:
    """Print a summary of the new project's training, and the next command.

    Both go to standard error, as scripts read the path of `s2s.toml` from standard
    output. A failed estimate is only a warning: a project can be created on a machine
    that cannot train it.
    """
    if not log.isEnabledFor(logging.INFO):
        return
    from pipelines.estimate.training import quick_estimate

    lines: list[str] = []
    try:
        project = Request(folder, ()).project()
        lines = [f"next: {_next_command(project)}"]
        estimate = quick_estimate(
            project.config, project.layout, most_bytes=_LARGEST_TEXT_BYTES
        )
    except S2SError as error:
        log.warning("no estimate of the training: %s", error.message)
    else:
        lines = [*summary_lines(estimate), *lines]
    for line in lines:
        show_note(line)


def _next_command(project: Project) -> str:
    """Return what to type next, or what to set first."""
    root, data = project.layout.root, project.config.data
    train = "s2s train"
    if root.resolve() != Path.cwd():
        train = f"cd {shlex.quote(str(root))}; {train}"
    splits = {"data.train": data.train, "data.valid": data.valid}
    missing = [name for name, pairs in splits.items() if not pairs]
    if missing:
        settings = project.layout.settings
        return f"set {' and '.join(missing)} in {settings}, then: {train}"
    return train

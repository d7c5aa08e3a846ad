"""`s2s init`."""

from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from pipelines.errors import UsageError
from s2scli.completion import complete_override, complete_recipe
from s2scli.console import LogFormat, configure_logging, print_lines
from s2scli.estimate import show_summary_of_new_project
from s2scli.options import Format, Quiet, Verbose
from s2scli.strict import StrictCommand


class FilePair(NamedTuple):
    """A source file and a target file, as an option with two values names them."""

    source: Path
    target: Path


class InitCommand(StrictCommand):
    """A command whose options for pairs of files take two values and may be repeated.

    Typer has lists of values and tuples of values, but no lists of tuples.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for param in self.params:
            if param.name in ("train", "valid", "test"):
                param.nargs = len(FilePair._fields)


_FILES = "SOURCE TARGET"


def command(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Make the project in this folder.")
    ] = Path(),
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Start from this recipe (numbers, small, paper); by default small "
            "where text is named, else numbers.",
            autocompletion=complete_recipe,
        ),
    ] = None,
    source_lang: Annotated[
        str | None,
        typer.Option(
            "-s",
            "--source-lang",
            "--src",
            metavar="CODE",
            help="Set the source language, such as de; by default the file names give "
            "it.",
        ),
    ] = None,
    target_lang: Annotated[
        str | None,
        typer.Option(
            "-t",
            "--target-lang",
            "--tgt",
            metavar="CODE",
            help="Set the target language, such as en; by default the file names give "
            "it.",
        ),
    ] = None,
    train: Annotated[
        list[FilePair] | None,
        typer.Option(
            metavar=_FILES,
            help="Train on these files; repeatable, for several corpora.",
        ),
    ] = None,
    valid: Annotated[
        list[FilePair] | None,
        typer.Option(metavar=_FILES, help="Validate on these files; repeatable."),
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
    """Make a project: write DIR/s2s.toml, and summarize its training.

    The recipe numbers needs no text: it writes number words into DIR/data,
    in English and French or in the languages of -s and -t.
    The path of s2s.toml goes to standard output, a summary and the next
    command to standard error.

    Example: s2s init demo --train train.de train.en --valid valid.de valid.en
    """
    from pipelines.config.load import parse_overrides
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
    show_summary_of_new_project(folder)


def _names(pairs: list[FilePair] | None) -> list[list[str]] | list[str] | None:
    """Pairs of files as settings have them: a single one is no list of pairs."""
    names = [[str(pair.source), str(pair.target)] for pair in pairs or ()]
    return names[0] if len(names) == 1 else names or None

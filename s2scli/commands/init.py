"""`s2s init`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from s2scli.completion import complete_override, complete_recipe
from s2scli.console import LogFormat, configure, print_lines
from s2scli.estimate import show_estimate_of_new_project
from s2scli.options import Format, Quiet, Verbose

Two = tuple[Path, Path]
_FILES = "SOURCE TARGET"


def command(
    folder: Annotated[
        Path, typer.Argument(help="Folder of the new project.", metavar="[DIR]")
    ] = Path(),
    recipe: Annotated[
        str | None,
        typer.Option(
            help="numbers, small or paper; numbers without --train.",
            autocompletion=complete_recipe,
        ),
    ] = None,
    source_lang: Annotated[
        str | None, typer.Option("-s", "--source-lang", help="Such as de.")
    ] = None,
    target_lang: Annotated[
        str | None, typer.Option("-t", "--target-lang", help="Such as en.")
    ] = None,
    train: Annotated[
        Two | None, typer.Option(metavar=_FILES, help="Training pairs.")
    ] = None,
    valid: Annotated[
        Two | None, typer.Option(metavar=_FILES, help="Validation pairs.")
    ] = None,
    test: Annotated[
        Two | None, typer.Option(metavar=_FILES, help="Test pairs; may be left out.")
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
        bool, typer.Option("--force", help="Replace an s2s.toml that is there.")
    ] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    log_format: Format = LogFormat.TEXT,
) -> None:
    """Make a project: write DIR/s2s.toml, and estimate its training.

    The recipe `numbers` needs no text: it makes English-French number words. The path
    of s2s.toml goes to standard output, the estimate to standard error, but with -q.
    """
    from pipelines.config.load import parse_override
    from pipelines.init import NUMBERS, run

    configure(quiet=quiet, verbose=verbose, log_format=log_format)
    values: dict[str, Any] = {
        "data.source_lang": source_lang,
        "data.target_lang": target_lang,
        "data.train": tuple(map(str, train)) if train else None,
        "data.valid": tuple(map(str, valid)) if valid else None,
        "data.test": tuple(map(str, test)) if test else None,
    }
    values = {key: value for key, value in values.items() if value is not None}
    values |= dict(parse_override(text) for text in overrides or ())
    chosen = recipe or ("small" if train else NUMBERS)
    path = run(folder, chosen, values, force=force)
    print_lines([str(path)])
    show_estimate_of_new_project(folder)

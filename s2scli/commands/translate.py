"""`s2s translate`."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, TextIO

import typer

from pipelines.progress import SILENT
from s2scli.commands.stage import bring_up_to_date, find_models
from s2scli.console import progress
from s2scli.options import Device, Force, Models, Request, with_common_options
from s2scli.output import open_output

if TYPE_CHECKING:
    from pipelines.config import TranslateConfig
    from pipelines.search.translator import Translation


@with_common_options
def command(
    request: Request,
    input_file: Annotated[
        Path | None,
        typer.Option("-i", "--input", help="Instead of standard input."),
    ] = None,
    output_file: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Instead of standard output."),
    ] = None,
    model: Models = None,
    split: Annotated[
        str | None,
        typer.Option(help="test: translate the test split into translate/test/."),
    ] = None,
    beam: Annotated[
        int | None, typer.Option("-b", "--beam", min=1, help="1 is greedy search.")
    ] = None,
    nbest: Annotated[
        int | None,
        typer.Option("--nbest", "--n-best", min=1, help="Write a Moses n-best list."),
    ] = None,
    device: Device = None,
    force: Force = False,
) -> None:
    """Translate standard input line by line, or the test split.

    One line in, one line out, in order; a blank line stays blank.
    """
    flags = {
        "translate__beam": beam,
        "translate__nbest": nbest,
        "translate__device": device,
    }
    if split is not None:
        _refuse(split != "test", f"--split {split}: only test can be translated")
        _refuse(
            bool(input_file or output_file or model),
            "--split test reads and writes the project; leave out -i, -o and -m",
        )
        project = request.project(**flags)
        bring_up_to_date(project, "translate", force=force)
        return
    _refuse(force, "--force goes with --split test; s2s train --force trains again")
    checkpoints, config = find_models(request, model, **flags)
    _translate(checkpoints, config.translate, input_file, output_file, nbest)


def _translate(
    checkpoints: list[Path],
    settings: "TranslateConfig",
    input_file: Path | None,
    output_file: Path | None,
    nbest: int | None,
) -> None:
    from pipelines.artifacts.stream import line_windows
    from pipelines.search.members import Members
    from pipelines.search.translator import Translator
    from pipelines.translate import translate_stream

    translator = Translator(Members.load(checkpoints, settings), settings)
    with open_output(output_file) as output, _input(input_file) as file:
        # A bar would run through translations that go to the same terminal.
        shown = SILENT if output.isatty() else progress()
        windows = line_windows(file, translator.window)
        _write(translate_stream(windows, translator, progress=shown), output, nbest)


def _write(stream: "Iterable[Translation]", output: TextIO, nbest: int | None) -> None:
    from pipelines.artifacts.nbest import write_nbest
    from pipelines.translate import entries

    for number, translation in enumerate(stream):
        if nbest is None:
            output.write(translation.text + "\n")
        else:
            write_nbest(output, entries(number, translation))
        output.flush()


@contextmanager
def _input(path: Path | None) -> Iterator[BinaryIO]:
    """Standard input, or a plain or compressed file."""
    from pipelines.artifacts.corpus import open_text

    if path is None:
        yield sys.stdin.buffer
    else:
        with open_text(path) as file:
            yield file


def _refuse(condition: bool, message: str) -> None:
    if condition:
        raise typer.BadParameter(message)

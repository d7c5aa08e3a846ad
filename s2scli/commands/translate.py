"""`s2s translate`."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, TextIO

import typer

from pipelines.progress import SILENT
from s2scli.commands.stage import bring_up_to_date, find_models
from s2scli.completion import complete_split, values_of
from s2scli.console import progress
from s2scli.options import (
    Device,
    Force,
    Model,
    ModelWeight,
    Precision,
    Request,
    refuse,
    with_common_options,
)
from s2scli.output import open_output

if TYPE_CHECKING:
    from pipelines.config import TranslateConfig
    from pipelines.search.translator import Translation, Translator

    Format = Callable[[int, Translation], str]


@with_common_options
def command(
    request: Request,
    input_file: Annotated[
        Path | None,
        typer.Option("-i", "--input", help="Instead of standard input."),
    ] = None,
    output_file: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="Instead of standard output; with -i, an interrupted translation "
            "goes on where it stopped.",
        ),
    ] = None,
    model: Model = None,
    model_weight: ModelWeight = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="test: translate the test split into translate/test/.",
            autocompletion=complete_split,
        ),
    ] = None,
    beam: Annotated[
        int | None,
        typer.Option("-b", "--beam", "--beam-size", min=1, help="1 is greedy search."),
    ] = None,
    nbest: Annotated[
        int | None,
        typer.Option("--nbest", "--n-best", min=1, help="Write a Moses n-best list."),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Write a JSON object for each line: text, tokens and the "
            "log-probability of each.",
        ),
    ] = False,
    search: Annotated[
        str | None,
        typer.Option(
            help="standard, or paper: as in the paper.",
            autocompletion=values_of("translate.search"),
        ),
    ] = None,
    length_penalty: Annotated[
        str | None,
        typer.Option(
            help="GNMT's alpha, 0 for none; or average.",
            autocompletion=values_of("translate.length_penalty"),
        ),
    ] = None,
    unk: Annotated[
        str | None,
        typer.Option(
            help="allow, forbid, or copy: the source's unknown words in its place.",
            autocompletion=values_of("translate.unk"),
        ),
    ] = None,
    precision: Precision = None,
    device: Device = None,
    force: Force = False,
) -> None:
    """Translate standard input line by line, or the test split.

    One line in, one line out, in order; a blank line stays blank.
    """
    flags = {
        "translate__beam": beam,
        "translate__nbest": nbest,
        "translate__search": search,
        "translate__length_penalty": length_penalty,
        "translate__unk": unk,
        "translate__precision": precision,
        "translate__device": device,
    }
    if split is not None:
        refuse(split != "test", f"--split {split}: only test can be translated")
        refuse(
            bool(input_file or output_file or model or as_json),
            "--split test reads and writes the project; leave out -i, -o, -m, --json",
        )
        project = request.project(**flags)
        bring_up_to_date(project, "translate", force=force)
        return
    refuse(force, "--force goes with --split test; s2s train --force trains again")
    refuse(bool(model_weight) and not model, "--model-weight goes with --model")
    models, config = find_models(request, model, **flags)
    _translate(
        _translator(models, model_weight or [], config.translate),
        input_file,
        output_file,
        _json_line if as_json else _moses if nbest else _text,
    )


def _translator(
    models: list[Path], weights: list[float], settings: "TranslateConfig"
) -> "Translator":
    from pipelines.search.members import Members
    from pipelines.search.translator import Translator

    return Translator(Members.load(models, settings, weights=weights), settings)


def _translate(
    translator: "Translator",
    input_file: Path | None,
    output_file: Path | None,
    form: "Format",
) -> None:
    from pipelines.artifacts.resumable import can_go_on

    if input_file and output_file and can_go_on(input_file, output_file):
        _translate_file(translator, input_file, output_file, form)
        return
    from pipelines.artifacts.stream import line_windows
    from pipelines.translate import translate_stream

    with open_output(output_file) as output, _input(input_file) as file:
        # A bar would run through translations that go to the same terminal.
        shown = SILENT if output.isatty() else progress()
        windows = line_windows(file, translator.window)
        number = 0
        for found in translate_stream(windows, translator, progress=shown):
            number = _write(found, number, output, form)
            output.flush()


def _translate_file(
    translator: "Translator", input_file: Path, output_file: Path, form: "Format"
) -> None:
    """Translate a file into a file, going on where an earlier process stopped."""
    from pipelines.artifacts.resumable import resumable
    from pipelines.artifacts.stream import line_windows
    from pipelines.translate import task_identity, translate_stream

    identity = task_identity(translator, input_file, form.__name__)
    with resumable(output_file, identity) as output, _input(input_file) as file:
        number = output.num_inputs
        windows = line_windows(file, translator.window, skip=number)
        stream = translate_stream(
            windows, translator, first=number, progress=progress()
        )
        for found in stream:
            number = _write(found, number, output.file, form)
            output.record(number)


def _write(
    found: "Iterable[Translation]", number: int, output: TextIO, form: "Format"
) -> int:
    """Write translations from line `number` (from 0); returns the next number."""
    for translation in found:
        output.write(form(number, translation))
        number += 1
    return number


def _text(_number: int, translation: "Translation") -> str:
    return translation.text + "\n"


def _moses(number: int, translation: "Translation") -> str:
    from pipelines.artifacts.nbest import format_entry
    from pipelines.translate import entries

    found = entries(number, translation)
    return "".join(format_entry(entry) + "\n" for entry in found)


def _json_line(number: int, translation: "Translation") -> str:
    content = {
        "line": number + 1,
        "text": translation.text,
        "truncated": translation.truncated,
        "candidates": [
            {
                "text": candidate.text,
                "score": candidate.score,
                "log_prob": candidate.log_prob,
                "tokens": candidate.tokens,
                "token_log_probs": candidate.token_log_probs,
            }
            for candidate in translation.candidates
        ],
    }
    return json.dumps(content, ensure_ascii=False) + "\n"


@contextmanager
def _input(path: Path | None) -> Iterator[BinaryIO]:
    """Standard input, or a plain or compressed file."""
    from pipelines.artifacts.corpus import open_text

    if path is None:
        yield sys.stdin.buffer
    else:
        with open_text(path) as file:
            yield file

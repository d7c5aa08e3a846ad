"""`s2s translate`."""

import json
import logging
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from pipelines.progress import SILENT
from s2scli.commands.stage import bring_up_to_date, find_models
from s2scli.console import progress, show_note
from s2scli.inputs import Inputs
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
from s2scli.output import (
    STANDARD_STREAM,
    can_be_replaced,
    open_output,
    refuse_same_file,
    require_output,
)
from s2scli.signals import if_stopped

if TYPE_CHECKING:
    from typing import TypeGuard

    from pipelines.config import TranslateConfig
    from pipelines.search.translator import Translation, Translator

    Format = Callable[[int, Translation], str]

log = logging.getLogger("pipelines.translate")


@with_common_options
def command(
    request: Request,
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FILE",
            help="Translate these files, one after the other, instead of standard "
            "input (-).",
            show_default=False,
        ),
    ] = None,
    input_file: Annotated[
        Path | None,
        typer.Option(
            "-i", "--input", help="Translate this file: plain text, .gz or .zst."
        ),
    ] = None,
    output_file: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="Write to this file instead of standard output, compressed if it ends "
            "in .gz or .zst; where files are translated, the same command resumes an "
            "interrupted translation.",
        ),
    ] = None,
    model: Model = None,
    model_weight: ModelWeight = None,
    split: Annotated[
        str | None,
        typer.Option(help="Translate the split test into translate/test/."),
    ] = None,
    beam: Annotated[
        int | None,
        typer.Option(
            "-b",
            "--beam",
            "--beam-size",
            min=1,
            help="Keep so many hypotheses; 1 is greedy search.",
        ),
    ] = None,
    nbest: Annotated[
        int | None,
        typer.Option(
            "--nbest",
            "--n-best",
            min=1,
            help="Write the N best as a Moses n-best list.",
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Write JSON Lines: for each line an object with the text, the tokens "
            "and the log-probability of each.",
        ),
    ] = False,
    search: Annotated[
        str | None,
        typer.Option(help="Search as is standard, or as in the paper: paper."),
    ] = None,
    length_penalty: Annotated[
        str | None,
        typer.Option(
            help="Normalize by length with GNMT's alpha (0 does not) or with average."
        ),
    ] = None,
    unk: Annotated[
        str | None,
        typer.Option(
            help="Let <unk> be written (allow) or not (forbid), or put the source's "
            "unknown words in its place (copy)."
        ),
    ] = None,
    precision: Precision = None,
    device: Device = None,
    force: Force = False,
) -> None:
    """Translate text line by line, or the test split.

    One line in, one line out, in order; a blank line stays blank. For example:

    s2s translate -m model -i news.en -o news.fr.gz
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
            bool(files or input_file or output_file or model or as_json),
            "--split test reads and writes the project; leave out -i, -o, -m, --json "
            "and files",
        )
        project = request.project(**flags)
        bring_up_to_date(project, "translate", force=force)
        return
    refuse(force, "--force goes with --split test; s2s train --force trains again")
    refuse(bool(model_weight) and not model, "--model-weight goes with --model")
    refuse(bool(files and input_file), "name the files to translate, or -i; not both")
    inputs = Inputs(tuple(files or [input_file or STANDARD_STREAM]))
    _check_output(output_file, inputs)
    num_lines = inputs.count_lines()
    models, config = find_models(request, model, **flags)
    translator = _translator(models, model_weight or [], config.translate)
    form = _json_line if as_json else _moses if nbest else _text
    if inputs.are_files and _is_resumable(output_file):
        _translate_files(translator, inputs, output_file, form, num_lines)
    else:
        _translate_stream(translator, inputs, output_file, form, num_lines)


def _is_resumable(output_file: Path | None) -> "TypeGuard[Path]":
    if output_file is None or output_file == STANDARD_STREAM:
        return False
    return can_be_replaced(output_file)


def _check_output(output_file: Path | None, inputs: Inputs) -> None:
    """Find before the work that an output cannot be written, or would be read."""
    from pipelines.artifacts.resumable import part_files

    require_output(output_file)
    outputs = [output_file or STANDARD_STREAM]
    if _is_resumable(output_file):
        outputs += part_files(output_file)
    refuse_same_file(outputs, inputs.paths)


def _translator(
    models: list[Path], weights: list[float], settings: "TranslateConfig"
) -> "Translator":
    from pipelines.search.members import Members
    from pipelines.search.translator import Translator

    return Translator(Members.load(models, settings, weights=weights), settings)


def _translate_stream(
    translator: "Translator",
    inputs: Inputs,
    output_file: Path | None,
    form: "Format",
    num_lines: int | None,
) -> None:
    """Translate what comes, and write it as it is ready."""
    from pipelines.translate import translate_stream

    with ExitStack() as stack:
        output = stack.enter_context(open_output(output_file))
        if inputs.are_typed:
            stack.enter_context(if_stopped(""))  # it is plain to see
            if log.isEnabledFor(logging.INFO):
                show_note("type a sentence a line; Ctrl-D ends")
        # A bar would run through lines that go to or come from the same terminal.
        shown = SILENT if output.isatty() or inputs.are_typed else progress()
        windows = inputs.windows(translator.window)
        number = 0
        for found in translate_stream(
            windows, translator, progress=shown, total=num_lines
        ):
            number = _write(found, number, output, form)
            if not _is_resumable(output_file):
                output.flush()


def _translate_files(
    translator: "Translator",
    inputs: Inputs,
    output_file: Path,
    form: "Format",
    num_lines: int | None,
) -> None:
    """Translate files into a file, resuming where an earlier process stopped."""
    from pipelines.artifacts.resumable import resumable
    from pipelines.translate import task_identity, translate_stream

    identity = task_identity(translator, inputs.paths, form.__name__)
    with (
        if_stopped("the same command resumes"),
        resumable(output_file, identity) as output,
    ):
        number = output.num_inputs
        stream = translate_stream(
            inputs.windows(translator.window, skip=number),
            translator,
            first=number,
            progress=progress(),
            total=None if num_lines is None else num_lines - number,
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

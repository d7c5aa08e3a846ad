"""`s2s translate`."""

import logging
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.artifacts.inputs import STANDARD_STREAM
from pipelines.artifacts.layout import part_files
from pipelines.artifacts.source_text import SourceText
from pipelines.progress import SILENT
from s2scli.commands.stage import bring_up_to_date, find_models, with_split
from s2scli.completion import values_of
from s2scli.console import progress, show_note
from s2scli.options import (
    Device,
    Model,
    ModelWeight,
    Precision,
    Request,
    Split,
    refuse_if,
    with_common_options,
)
from s2scli.output import (
    can_be_replaced,
    follow_link,
    open_output,
    refuse_same_file,
    require_output,
)
from s2scli.signals import hint_if_stopped

if TYPE_CHECKING:
    from pipelines.artifacts.translations import FormatName

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
            "-i",
            "--input",
            metavar="FILE",
            help="Translate this file (plain text, .gz, .zst).",
        ),
    ] = None,
    output_file: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Write to this file (plain text, .gz, .zst) instead of standard "
            "output; the same command resumes an interrupted translation of files.",
        ),
    ] = None,
    model: Model = None,
    model_weight: ModelWeight = None,
    split: Split = None,
    beam: Annotated[
        int | None,
        typer.Option(
            "-b",
            "--beam",
            "--beam-size",
            metavar="N",
            min=1,
            help="Search with a beam of N hypotheses; 1 is greedy search.",
        ),
    ] = None,
    nbest: Annotated[
        int | None,
        typer.Option(
            "--nbest",
            "--n-best",
            metavar="N",
            min=1,
            help="Write the N best translations of each line as a Moses n-best list.",
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Write JSON Lines: the text, tokens and log-probabilities of each "
            "line.",
        ),
    ] = False,
    search: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Use this beam search (standard, paper).",
            autocompletion=values_of("translate.search"),
        ),
    ] = None,
    length_penalty: Annotated[
        str | None,
        typer.Option(
            metavar="ALPHA",
            help="Divide log-probabilities by GNMT's length penalty with this alpha (0 "
            "for none), or by the number of tokens (average).",
            autocompletion=values_of("translate.length_penalty"),
        ),
    ] = None,
    min_length: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="Write at least N tokens for each line."),
    ] = None,
    max_length: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            help="Write at most N tokens for each line; 0 derives the limit from "
            "the length of the source.",
        ),
    ] = None,
    sample: Annotated[
        bool,
        typer.Option(
            "--sample",
            help="Draw translations at random from the model instead of searching.",
        ),
    ] = False,
    top_k: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            help="With --sample, draw each token from the N most likely ones; 0 draws "
            "from all.",
        ),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(
            metavar="NUMBER",
            help="With --sample, divide the logits by this number; below 1, likely "
            "tokens become likelier.",
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            help="With --sample, draw with this seed.",
        ),
    ] = None,
    unk: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Write <unk> (allow), never write it (forbid), or replace it by the "
            "unknown words of the source (copy).",
            autocompletion=values_of("translate.unk"),
        ),
    ] = None,
    precision: Precision = None,
    device: Device = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="With --split, translate again even if the translation is up to date.",
        ),
    ] = False,
) -> None:
    """Translate text line by line, or the test split.

    One line in, one line out, in order; a blank line stays blank.

    Example: s2s translate -m model -i news.en -o news.fr.gz
    """
    flags = {
        "translate.beam": beam,
        "translate.nbest": nbest,
        "translate.search": search,
        "translate.length_penalty": length_penalty,
        "translate.min_length": min_length,
        "translate.max_length": max_length,
        "translate.sample": sample or None,
        "translate.top_k": top_k,
        "translate.temperature": temperature,
        "translate.seed": seed,
        "translate.unk": unk,
        "translate.precision": precision,
        "translate.device": device,
    }
    if sample:
        refuse_if(
            bool(beam or search),
            "--beam and --search have no meaning with --sample",
            "leave them out, or leave out --sample",
        )
    elif any(value is not None for value in (top_k, temperature, seed)):
        refuse_if(
            not request.settings(flags).translate.sample,
            "--top-k, --temperature and --seed go with --sample",
            "add --sample, or leave them out",
        )
    if split is not None:
        refuse_if(
            bool(files or input_file or output_file or model or as_json),
            "--split reads and writes the project",
            "leave out -i, -o, -m, --json and files, or leave out --split",
        )
        project = with_split(request.project(flags), split)
        bring_up_to_date(project, "translate", force=force)
        return
    refuse_if(
        force,
        "--force goes with --split",
        "s2s translate --split test --force; s2s train --force trains again",
    )
    refuse_if(
        bool(model_weight and not model),
        "--model-weight goes with --model",
        "name the models: -m DIR once for each weight",
    )
    refuse_if(
        bool(files and input_file),
        "files are named and -i is given, expected not both",
        "s2s translate FILE FILE translates one after the other",
    )
    source = SourceText(tuple(files or [input_file or STANDARD_STREAM]))
    output_file = output_file or STANDARD_STREAM
    is_file = output_file != STANDARD_STREAM and can_be_replaced(output_file)
    require_output(output_file)
    parts = part_files(follow_link(output_file)) if is_file else ()
    refuse_same_file([output_file, *parts], source.paths)
    num_lines = source.count_lines()
    models, config = find_models(request, model, flags)
    from pipelines.search.loading import load_ensemble
    from pipelines.search.translator import Translator
    from pipelines.translate import translate_files, translate_text

    loaded = load_ensemble(models, config.translate, weights=model_weight or ())
    translator = Translator(loaded, config.translate)
    form: FormatName = "json" if as_json else "nbest" if nbest else "text"
    if is_file and source.is_in_files:
        path = follow_link(output_file)
        with hint_if_stopped("the same command resumes"):
            translate_files(
                source, translator, path, form, total=num_lines, progress=progress()
            )
        return
    with ExitStack() as stack:
        output = stack.enter_context(open_output(output_file))
        if source.is_typed and output.isatty():
            stack.enter_context(hint_if_stopped(""))  # the user sees what was written
        if source.is_typed and log.isEnabledFor(logging.INFO):
            show_note("type a sentence a line; Ctrl-D ends")
        # A bar would run through lines that go to or come from the same terminal.
        shown = SILENT if output.isatty() or source.is_typed else progress()
        for _, text in translate_text(
            source, translator, form, total=num_lines, progress=shown
        ):
            output.write(text)
            if not is_file:
                output.flush()

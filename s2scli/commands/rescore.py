"""`s2s rescore`."""

import sys
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.artifacts.inputs import STANDARD_STREAM, check_inputs
from pipelines.progress import SILENT
from pipelines.wording import plural
from s2scli.commands.stage import find_models
from s2scli.completion import values_of
from s2scli.console import print_json, print_table, progress, stderr, stdout
from s2scli.options import (
    Device,
    Model,
    ModelWeight,
    Precision,
    Request,
    refuse_if,
    with_common_options,
)
from s2scli.output import (
    open_output,
    refuse_same_file,
    require_output,
)

if TYPE_CHECKING:
    from pipelines.metrics.nbest_bleu import NbestBleu


@with_common_options
def command(
    request: Request,
    nbest: Annotated[
        Path,
        typer.Option(
            "--nbest",
            "--n-best",
            metavar="FILE",
            dir_okay=False,
            help="Rescore this n-best list in Moses format.",
        ),
    ],
    source: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            dir_okay=False,
            help="Read the source from this file: line n + 1 is the list's sentence n.",
        ),
    ],
    model: Model = None,
    model_weight: ModelWeight = None,
    weight: Annotated[
        float,
        typer.Option(
            metavar="WEIGHT",
            min=0.0,
            max=1.0,
            help="Weight the model's log-probability by this number, and the score in "
            "the list by the rest.",
        ),
    ] = 0.5,
    length_penalty: Annotated[
        str | None,
        typer.Option(
            metavar="ALPHA",
            help="Divide the log-probability by GNMT's length penalty with this alpha "
            "(0 for none), or by the number of tokens (average); 0 by default.",
            show_default=False,
            autocompletion=values_of("translate.length_penalty"),
        ),
    ] = None,
    references: Annotated[
        list[Path] | None,
        typer.Option(
            "-r",
            "--ref",
            metavar="FILE",
            dir_okay=False,
            help="Print the BLEU of the list, of the rescored list and of the oracle "
            "against this file, tokenised like the list; repeat for several "
            "references.",
        ),
    ] = None,
    output_file: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Write to this file (plain text, .gz, .zst) instead of standard "
            "output.",
        ),
    ] = None,
    best: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write the tokens of the best hypothesis of each sentence to this "
            "file.",
        ),
    ] = None,
    lowercase: Annotated[
        bool | None,
        typer.Option(
            "--lowercase/--cased",
            help="Ignore or count case in the BLEU of --ref; counted by default.",
            show_default=False,
        ),
    ] = None,
    tokenize: Annotated[
        bool,
        typer.Option(
            "--tokenize",
            help="Tokenize the list with the model's own tokenizer first.",
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="With --ref, print the comparison as JSON.")
    ] = False,
    device: Device = None,
    precision: Precision = None,
) -> None:
    """Rescore another system's n-best list with the model, or with an ensemble.

    Each hypothesis gets the model's log-probability as the feature LSTM=. Its new score
    is the weighted mean of its old score and that log-probability. The hypotheses of
    each sentence are sorted by the new score.

    Example: s2s rescore --nbest 1000best.gz --source test.en -m MODEL -o new.gz
    """
    references = references or []
    refuse_if(
        bool(model_weight and not model),
        "--model-weight goes with --model",
        "name the models: -m DIR once for each weight",
    )
    for flag, given in (
        ("--json", as_json),
        ("--lowercase/--cased", lowercase is not None),
    ):
        refuse_if(
            given and not references,
            f"{flag} goes with --ref",
            "-r FILE compares the list with a reference",
        )
    output_file = output_file or STANDARD_STREAM
    refuse_if(
        best == output_file == STANDARD_STREAM,
        "the list and --best both go to standard output",
        "-o FILE writes the list to a file",
    )
    inputs, outputs = [nbest, source, *references], [output_file, best]
    check_inputs(inputs)
    # Overwriting the list would lose its scores, and a second run would average twice.
    refuse_same_file(outputs, inputs)
    for path in filter(None, outputs):
        require_output(path)
    from pipelines.metrics.nbest_bleu import NbestBleuCounter
    from pipelines.tools.rescore import (
        check_list,
        read_source,
        rescore_list,
        write_rescored,
    )
    from pipelines.tools.rescorer import Rescorer, RescoreSettings

    # Mistakes in the inputs are reported before a model is loaded.
    settings = RescoreSettings(weight=weight, tokenize=tokenize)
    src, refs = read_source(source, references)
    check_list(nbest, len(src), progress=progress())
    flags = {
        "translate.length_penalty": length_penalty,
        "translate.device": device,
        "translate.precision": precision,
    }
    checkpoints, config = find_models(request, model, flags)
    from pipelines.search.forced_decoding import ForcedDecoder
    from pipelines.search.loading import load_ensemble

    penalty = 0.0 if length_penalty is None else config.translate.length_penalty
    loaded = load_ensemble(checkpoints, config.translate, weights=model_weight or ())
    rescorer = Rescorer(
        ForcedDecoder(loaded),
        loaded.pipeline,
        replace(
            settings,
            length_penalty=penalty,
            max_source_length=config.translate.max_source_length,
        ),
    )
    on_standard_output = STANDARD_STREAM in outputs
    to_terminal = on_standard_output and sys.stdout.isatty()
    shown = SILENT if to_terminal else progress()
    comparer = None
    if refs:
        comparer = NbestBleuCounter(*refs, lowercase=_ignores_case(request, lowercase))
    with ExitStack() as stack:
        write_rescored(
            rescore_list(nbest, src, rescorer, progress=shown),
            stack.enter_context(open_output(output_file)),
            best=stack.enter_context(open_output(best)) if best else None,
            comparer=comparer,
        )
    if comparer is not None:
        _show(comparer.result(), as_json=as_json, to_stderr=on_standard_output)


def _ignores_case(request: Request, lowercase: bool | None) -> bool:
    """Resolve `auto`: case counts, because hypotheses of a list keep their case."""
    flags = {"score.lowercase": lowercase, "preprocess.lowercase": False}
    return request.settings(flags).score.ignores_case


def _show(result: "NbestBleu", *, as_json: bool, to_stderr: bool) -> None:
    """Print the result; on standard error if standard output carries data."""
    if as_json:
        print_json(asdict(result), to=sys.stderr if to_stderr else sys.stdout)
        return
    rows = [
        (name, f"{value:.2f}")
        for name, value in (
            ("baseline", result.baseline),
            ("rescored", result.rescored),
            ("oracle", result.oracle),
        )
    ]
    notes = [
        "",
        f"{plural(result.sentences, 'sentence')}, "
        + plural(result.hypotheses, "hypothesis", "hypotheses"),
        result.signature,
    ]
    print_table(
        ("1-best", "BLEU"), rows, notes=notes, to=stderr if to_stderr else stdout
    )

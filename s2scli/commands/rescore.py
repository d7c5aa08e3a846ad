"""`s2s rescore`."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.progress import SILENT
from s2scli.commands.stage import find_models
from s2scli.completion import values_of
from s2scli.console import print_json, print_table, progress, stderr, stdout
from s2scli.options import (
    Device,
    Json,
    Model,
    ModelWeight,
    Precision,
    Request,
    refuse,
    with_common_options,
)
from s2scli.output import open_output

if TYPE_CHECKING:
    from pipelines.metrics.comparison import Comparer, Comparison
    from pipelines.rescore import Rescored


@with_common_options
def command(
    request: Request,
    nbest: Annotated[
        Path,
        typer.Option(
            "--nbest",
            "--n-best",
            exists=True,
            dir_okay=False,
            help="The list, in Moses' format.",
        ),
    ],
    source: Annotated[
        Path,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="What it translates: line n + 1 is the list's sentence n.",
        ),
    ],
    model: Model = None,
    model_weight: ModelWeight = None,
    weight: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Of the models' log-probability; the list's own score has the rest.",
        ),
    ] = 0.5,
    length_penalty: Annotated[
        str | None,
        typer.Option(
            help="Divide the log-probability: GNMT's alpha, or average. Default: 0, "
            "not at all.",
            show_default=False,
            autocompletion=values_of("translate.length_penalty"),
        ),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(
            "-r",
            "--ref",
            exists=True,
            dir_okay=False,
            help="Tokenised like the list: show BLEU before, after, and the oracle's.",
        ),
    ] = None,
    output_file: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Instead of standard output."),
    ] = None,
    best: Annotated[
        Path | None,
        typer.Option(help="Write the best tokens here, a line for each source line."),
    ] = None,
    lowercase: Annotated[
        bool | None,
        typer.Option(
            "--lowercase/--cased", help="With --ref: ignore case.", show_default=False
        ),
    ] = None,
    tokenize: Annotated[
        bool,
        typer.Option(
            "--tokenize",
            help="Cut the list's tokens with the model's own tokenizer first.",
        ),
    ] = False,
    as_json: Json = False,
    device: Device = None,
    precision: Precision = None,
) -> None:
    """Rescore another system's n-best list with the model, or with an ensemble.

    Each hypothesis gets the model's log-probability as feature LSTM=, and its score
    becomes a weighted mean of the old one and that; each sentence is sorted anew.
    """
    refuse(bool(model_weight and not model), "--model-weight goes with --model")
    for flag, given in (
        ("--json", as_json),
        ("--lowercase/--cased", lowercase is not None),
    ):
        refuse(given and reference is None, f"{flag} goes with --ref")
    refuse(best is not None and best == output_file, "-o and --best name the same file")
    from pipelines.metrics.comparison import Comparer
    from pipelines.rescore import (
        Rescorer,
        RescoreSettings,
        check_list,
        read_source,
        rescore_list,
    )

    # What can be wrong is found before a model is loaded, or trained.
    settings = RescoreSettings(weight=weight, tokenize=tokenize)
    src, ref = read_source(source, reference)
    check_list(nbest, len(src), progress=progress())
    flags = {
        "score__lowercase": lowercase,
        "translate__length_penalty": length_penalty,
        "translate__device": device,
        "translate__precision": precision,
    }
    checkpoints, config = find_models(request, model, **flags)
    from pipelines.search.members import Members
    from pipelines.search.scorer import Scorer

    penalty = 0.0 if length_penalty is None else config.translate.length_penalty
    members = Members.load(checkpoints, config.translate, weights=model_weight or ())
    rescorer = Rescorer(
        Scorer(members),
        members.pipeline,
        replace(
            settings,
            length_penalty=penalty,
            max_source_length=config.translate.max_source_length,
        ),
    )
    to_terminal = output_file is None and sys.stdout.isatty()
    shown = SILENT if to_terminal else progress()
    found = rescore_list(nbest, src, rescorer, progress=shown)
    if reference is None:
        _write(found, output_file, best)
        return
    comparer = Comparer(ref, lowercase=config.score.lowercase)
    _write(_compared(found, comparer), output_file, best)
    _show(comparer.result(), as_json=as_json, apart=output_file is None)


def _write(
    stream: "Iterable[Rescored]", output_file: Path | None, best_file: Path | None
) -> None:
    from pipelines.artifacts.nbest import write_nbest

    with ExitStack() as stack:
        output = stack.enter_context(open_output(output_file))
        best = stack.enter_context(open_output(best_file)) if best_file else None
        for found in stream:
            write_nbest(output, found.entries)
            if best is not None:
                best.write(found.tokens + "\n")


def _compared(
    stream: "Iterable[Rescored]", comparer: "Comparer"
) -> "Iterator[Rescored]":
    for found in stream:
        hyp = [" ".join(entry.tokens) for entry in found.original]
        comparer.add(hyp, found.tokens)
        yield found


def _show(result: "Comparison", *, as_json: bool, apart: bool) -> None:
    """Print the result on standard output, or on standard error beside a list."""
    if as_json:
        print_json(asdict(result), to=sys.stderr if apart else sys.stdout)
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
        f"{result.sentences} sentences, {result.hypotheses} hypotheses",
        result.signature,
    ]
    print_table(("1-best", "BLEU"), rows, notes=notes, to=stderr if apart else stdout)

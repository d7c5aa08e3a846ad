"""`s2s score`."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.progress import SILENT
from s2scli.commands.stage import bring_up_to_date, find_models
from s2scli.console import print_json, print_lines, print_table, progress, show_note
from s2scli.options import (
    Device,
    Force,
    Json,
    Model,
    ModelWeight,
    Precision,
    Request,
    with_common_options,
)
from s2scli.output import open_output

if TYPE_CHECKING:
    from pipelines.artifacts.report import Report
    from pipelines.config import ScoreConfig, TranslateConfig


@with_common_options
def command(
    request: Request,
    reference: Annotated[
        Path | None,
        typer.Option(
            "-r", "--ref", help="Score any translation against this; needs no project."
        ),
    ] = None,
    input_file: Annotated[
        Path | None,
        typer.Option("-i", "--input", help="With --ref: instead of standard input."),
    ] = None,
    lowercase: Annotated[
        bool | None,
        typer.Option("--lowercase/--cased", help="Ignore case.", show_default=False),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "-s",
            "--source",
            help="With --ref: print how likely the model finds each of its lines, "
            "as log-probability (natural) and number of tokens.",
        ),
    ] = None,
    model: Model = None,
    model_weight: ModelWeight = None,
    precision: Precision = None,
    device: Device = None,
    as_json: Json = False,
    force: Force = False,
) -> None:
    """Score the translation of the test split, or with --ref any translation.

    With --source and --ref, a model (the project's, or --model) scores given pairs.
    """
    if source is not None:
        if reference is None or force or input_file or lowercase is not None:
            raise typer.BadParameter("--source goes with --ref and --model alone")
        how = {"translate__precision": precision, "translate__device": device}
        models, config = find_models(request, model, **how)
        _score_pairs(
            source, reference, models, model_weight or [], config.translate, as_json
        )
        return
    if model or model_weight or precision or device:
        raise typer.BadParameter("--model scores pairs: it needs --source and --ref")
    flags = {"score__lowercase": lowercase}
    if reference is not None:
        if force:
            raise typer.BadParameter("--force has no meaning with --ref")
        settings = request.settings(**flags).score
        report = _score_file(reference, input_file, settings)
    else:
        if input_file is not None:
            raise typer.BadParameter("-i needs --ref")
        project = request.project(**flags)
        bring_up_to_date(project, "score", force=force)
        from pipelines.artifacts.report import REPORT, read_report

        report = read_report(project.layout.score / REPORT)
    if as_json:
        print_json(report.to_json())
    else:
        _show(report)


def _score_file(
    reference: Path, input_file: Path | None, settings: "ScoreConfig"
) -> "Report":
    from pipelines.artifacts.corpus import read_lines
    from pipelines.artifacts.stream import strip_lines
    from pipelines.score import score_lines

    if input_file is None:
        return score_lines(strip_lines(sys.stdin.buffer), reference, config=settings)
    return score_lines(
        read_lines(input_file), reference, config=settings, source=input_file
    )


def _score_pairs(
    source: Path,
    reference: Path,
    models: list[Path],
    weights: list[float],
    config: "TranslateConfig",
    as_json: bool,
) -> None:
    from pipelines.artifacts.corpus import read_lines
    from pipelines.likelihood import NOTHING, score_pairs
    from pipelines.search.members import Members

    members = Members.load(models, config, weights=weights)
    total = NOTHING
    with open_output(None) as output:
        for found in score_pairs(
            read_lines(source),
            read_lines(reference),
            members,
            config,
            names=(source, reference),
            progress=SILENT if output.isatty() else progress(),
        ):
            total += found
            if as_json:
                output.write(json.dumps(asdict(found)) + "\n")
            else:
                output.write(f"{found.log_prob:.6f}\t{found.num_tokens}\n")
    if as_json:
        print_lines([json.dumps({**asdict(total), "perplexity": total.perplexity})])
    else:
        show_note(
            f"{total.num_pairs} pairs, {total.num_tokens} tokens "
            f"({total.num_unknown} unknown): log-probability {total.log_prob:.4f}, "
            f"perplexity {total.perplexity:.4f}"
        )


_NAMES = {
    "bleu_tokenised": "BLEU, tokenised",
    "bleu_detokenised": "BLEU, detokenised",
    "chrf": "chrF",
    "ter": "TER",
    "exact_match": "exact match %",
    "token_error_rate": "token error rate %",
}


def _show(report: "Report") -> None:
    rows = []
    for metric in report.metrics:
        interval = ""
        if metric.low is not None and metric.high is not None:
            interval = f"{metric.low:.2f} to {metric.high:.2f}"
        name = _NAMES.get(metric.name, metric.name)
        rows.append((name, f"{metric.value:.2f}", interval))
    if report.perplexity is not None:
        rows.append(("perplexity", f"{report.perplexity:.3f}", ""))
    print_table(("metric", "value", "95 % interval"), rows)
    print_lines(
        [
            "",
            f"{report.num_lines} lines, {report.num_hyp_tokens} tokens against "
            f"{report.num_ref_tokens} in the reference",
            *(
                f"{metric.name}  {metric.signature}"
                for metric in report.metrics
                if metric.signature
            ),
        ]
    )

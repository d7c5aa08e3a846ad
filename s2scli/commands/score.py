"""`s2s score`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from s2scli.commands.stage import bring_up_to_date
from s2scli.console import print_json, print_lines, print_table
from s2scli.options import Force, Json, Request, with_common_options

if TYPE_CHECKING:
    from pipelines.artifacts.report import Report
    from pipelines.config import ScoreConfig


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
    as_json: Json = False,
    force: Force = False,
) -> None:
    """Score the translation of the test split, or with --ref any translation."""
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

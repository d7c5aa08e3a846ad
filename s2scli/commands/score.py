"""`s2s score`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.artifacts.inputs import STANDARD_STREAM, check_inputs
from pipelines.artifacts.layout import REPORT, TEST
from pipelines.errors import UsageError
from pipelines.progress import SILENT
from pipelines.wording import plural
from s2scli.commands.stage import bring_up_to_date, find_models, with_split
from s2scli.console import print_json, print_lines, print_table, progress, show_note
from s2scli.options import (
    Device,
    Force,
    Json,
    Model,
    ModelWeight,
    Precision,
    Request,
    Split,
    refuse_if,
    with_common_options,
)
from s2scli.output import open_output

if TYPE_CHECKING:
    from pipelines.artifacts.report import Report
    from pipelines.config import TranslateConfig

_PAIRS = "s2s score --source SRC --target TGT"


@with_common_options
def command(
    request: Request,
    translation: Annotated[
        Path | None,
        typer.Argument(
            metavar="HYP",
            dir_okay=False,
            help="With --ref, score this file instead of standard input.",
            show_default=False,
        ),
    ] = None,
    references: Annotated[
        list[Path] | None,
        typer.Option(
            "-r",
            "--ref",
            metavar="FILE",
            dir_okay=False,
            help="Score any translation against this file, without a project; "
            "repeat for several references.",
        ),
    ] = None,
    input_file: Annotated[
        Path | None,
        typer.Option(
            "-i",
            "--input",
            metavar="FILE",
            dir_okay=False,
            help="Score this file; the same as HYP.",
        ),
    ] = None,
    lowercase: Annotated[
        bool | None,
        typer.Option(
            "--lowercase/--cased",
            help="Ignore or count case; by default as the project's model does, and "
            "counted with --ref.",
            show_default=False,
        ),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            dir_okay=False,
            help="With --target, print the natural log-probability that the model "
            "gives each translation, and its number of tokens.",
        ),
    ] = None,
    target: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            dir_okay=False,
            help="With --source, read the translation of each line from this file.",
        ),
    ] = None,
    model: Model = None,
    model_weight: ModelWeight = None,
    precision: Precision = None,
    device: Device = None,
    as_json: Json = False,
    split: Split = None,
    force: Force = False,
) -> None:
    """Score the translation of the test split, or with --ref any translation.

    An empty line in a second or later reference means that the sentence has no further
    reference.

    Example: s2s score hyp.txt --ref ref1.txt --ref ref2.txt

    With --source and --target, print each translation's log-probability.

    Example: s2s score --source test.en --target test.fr -m MODEL
    """
    refuse_if(
        translation is not None and input_file is not None,
        f"{translation} and -i {input_file}: two translations, expected one",
        "s2s score HYP --ref REF",
    )
    translation = translation or input_file
    if source is not None or target is not None:
        other_options = {
            "--ref": bool(references),
            "a translation to score": translation is not None,
            "--lowercase/--cased": lowercase is not None,
            "--split": split is not None,
            "--force": force,
        }
        given = [name for name, is_given in other_options.items() if is_given]
        pairs = _require_pairs(source, target, given)
        flags = {"translate.precision": precision, "translate.device": device}
        models, config = find_models(request, model, flags)
        _score_pairs(*pairs, models, model_weight or [], config.translate, as_json)
        return
    refuse_if(
        bool(model or model_weight or precision or device),
        "--model, --model-weight, --precision and --device need --source and --target",
        f"{_PAIRS} -m MODEL prints log-probabilities; s2s translate -m MODEL < SRC | "
        "s2s score --ref REF scores what the model translates",
    )
    if references:
        refuse_if(
            force or split is not None,
            f"{'--force' if force else '--split'} has no meaning with --ref, which "
            "reads and writes no artifact",
            "leave it out",
        )
        hyp = translation or STANDARD_STREAM
        _score_files(request, hyp, references, lowercase, as_json)
        return
    refuse_if(
        translation is not None,
        f"{translation}: no --ref to score it against",
        f"s2s score {translation} --ref REF; without files, s2s score scores the "
        "translation of the project's test split",
    )
    _score_project(request, split or TEST, lowercase, force, as_json)


def _require_pairs(
    source: Path | None, target: Path | None, others: list[str]
) -> tuple[Path, Path]:
    """Check that source and target are given, without options of other modes."""
    hint = f"{_PAIRS} prints the model's log-probability of each translation"
    if others:
        raise UsageError(
            f"{others[0]} does not go with --source and --target", hint=hint
        )
    if source is None or target is None:
        given, missing = ("--source", "--target")[:: -1 if source is None else 1]
        raise UsageError(f"{given} needs {missing}", hint=hint)
    check_inputs([source, target])
    return source, target


def _score_project(
    request: Request, split: str, lowercase: bool | None, force: bool, as_json: bool
) -> None:
    project = with_split(request.project({"score.lowercase": lowercase}), split)
    bring_up_to_date(project, "score", force=force, keep_translation=True)
    from pipelines.artifacts.report import read_report
    from pipelines.score import describe_tokens

    report = read_report(project.layout.score / REPORT)
    _show(report, describe_tokens(project.config), as_json)


def _score_files(
    request: Request,
    translation: Path,
    references: list[Path],
    lowercase: bool | None,
    as_json: bool,
) -> None:
    check_inputs([translation, *references])
    from pipelines.score import LINE_TOKENS, score_files

    # No project's model wrote these files, so none decides whether case counts.
    flags = {"score.lowercase": lowercase, "preprocess.lowercase": False}
    config = request.settings(flags).score
    report = score_files(translation, references, config=config, progress=progress())
    _show(report, LINE_TOKENS, as_json)


def _score_pairs(
    source: Path,
    target: Path,
    models: list[Path],
    weights: list[float],
    config: "TranslateConfig",
    as_json: bool,
) -> None:
    from pipelines.search.loading import load_ensemble
    from pipelines.tools.score_pairs import score_pairs, write_json_lines, write_tsv

    ensemble = load_ensemble(models, config, weights=weights)
    with open_output(None) as output:
        shown = SILENT if output.isatty() else progress()
        scores = score_pairs(source, target, ensemble, config, progress=shown)
        if as_json:
            write_json_lines(scores, output)
            return
        total = write_tsv(scores, output)
    show_note(total.describe())


def _show(report: "Report", tokens: str, as_json: bool) -> None:
    if as_json:
        print_json(report.to_json())
        return
    from pipelines.artifacts.report import METRIC_LABELS

    rows = []
    for metric in report.metrics:
        interval = ""
        if metric.low is not None and metric.high is not None:
            interval = f"{metric.low:.2f} to {metric.high:.2f}"
        label = METRIC_LABELS.get(metric.name, metric.name)
        rows.append((label, f"{metric.value:.2f}", interval))
    if report.perplexity is not None:
        rows.append(("perplexity", f"{report.perplexity:.3f}", ""))
    print_table(("metric", "value", "95 % interval"), rows)
    reference = "reference" if report.has_one_reference else "first reference"
    print_lines(
        [
            "",
            f"{plural(report.num_lines, 'line')}, "
            f"{plural(report.num_hyp_tokens, 'token')} against "
            f"{report.num_ref_tokens:,} in the {reference}",
            f"tokenised: {tokens}",
            *(f"{metric.name}  {metric.signature}" for metric in report.metrics),
        ]
    )

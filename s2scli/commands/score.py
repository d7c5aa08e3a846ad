"""`s2s score`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.artifacts.inputs import STANDARD_STREAM, check_inputs
from pipelines.artifacts.layout import TEST
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

    An empty line in a second or later reference file means that the sentence has no
    further reference.

    Example: s2s score hyp.txt --ref ref1.txt --ref ref2.txt

    With --source and --target, print how likely a model finds each translation.

    Example: s2s score --source test.en --target test.fr -m MODEL
    """
    translation = _named_once(translation, input_file)
    if source is not None or target is not None:
        others = {
            "--ref": bool(references),
            "a translation to score": translation is not None,
            "--lowercase/--cased": lowercase is not None,
            "--split": split is not None,
            "--force": force,
        }
        pairs = _pairs(
            source, target, [name for name, given in others.items() if given]
        )
        flags = {"translate.precision": precision, "translate.device": device}
        models, config = find_models(request, model, flags)
        _score_pairs(*pairs, models, model_weight or [], config.translate, as_json)
        return
    _refuse_model(bool(model or model_weight or precision or device))
    if references:
        if force or split is not None:
            raise UsageError(
                f"{'--force' if force else '--split'} has no meaning with --ref, which "
                "reads and writes no artifact",
                hint="leave it out",
            )
        hyp = translation or STANDARD_STREAM
        _score_files(request, hyp, references, lowercase, as_json)
        return
    if translation is not None:
        raise UsageError(
            f"{translation}: no --ref to score it against",
            hint=f"s2s score {translation} --ref REF; without files, s2s score scores "
            "the translation of the project's test split",
        )
    _score_project(request, split or TEST, lowercase, force, as_json)


def _named_once(translation: Path | None, input_file: Path | None) -> Path | None:
    if translation is not None and input_file is not None:
        raise UsageError(
            f"{translation} and -i {input_file}: two translations, expected one",
            hint="s2s score HYP --ref REF",
        )
    return translation or input_file


def _pairs(
    source: Path | None, target: Path | None, others: list[str]
) -> tuple[Path, Path]:
    hint = f"{_PAIRS} prints how likely the model finds each translation"
    if others:
        raise UsageError(
            f"{others[0]} does not go with --source and --target", hint=hint
        )
    if source is None or target is None:
        given, missing = ("--source", "--target")[:: -1 if source is None else 1]
        raise UsageError(f"{given} needs {missing}", hint=hint)
    check_inputs([source, target])
    return source, target


def _refuse_model(given: bool) -> None:
    if given:
        raise UsageError(
            "--model, --model-weight, --precision and --device need --source and "
            "--target",
            hint=f"{_PAIRS} -m MODEL prints log-probabilities; s2s translate -m MODEL "
            "< SRC | s2s score --ref REF scores what the model translates",
        )


def _score_project(
    request: Request, split: str, lowercase: bool | None, force: bool, as_json: bool
) -> None:
    project = with_split(request.project({"score.lowercase": lowercase}), split)
    bring_up_to_date(project, "score", force=force, keep_translation=True)
    from pipelines.artifacts.layout import REPORT
    from pipelines.artifacts.report import read_report
    from pipelines.score import describe_words

    report = read_report(project.layout.score / REPORT)
    _show(report, describe_words(project.config), as_json)


def _score_files(
    request: Request,
    translation: Path,
    references: list[Path],
    lowercase: bool | None,
    as_json: bool,
) -> None:
    check_inputs([translation, *references])
    from pipelines.score import score_files

    # No project's model wrote these files, so none decides whether case counts.
    flags = {"score.lowercase": lowercase, "preprocess.lowercase": False}
    config = request.settings(flags).score
    report = score_files(translation, references, config=config, progress=progress())
    _show(report, "the lines' own words, between blanks", as_json)


def _score_pairs(
    source: Path,
    target: Path,
    models: list[Path],
    weights: list[float],
    config: "TranslateConfig",
    as_json: bool,
) -> None:
    from pipelines.search.loading import load_ensemble
    from pipelines.tools.score_pairs import NOTHING, score_pairs

    loaded = load_ensemble(models, config, weights=weights)
    total = NOTHING
    with open_output(None) as output:
        shown = SILENT if output.isatty() else progress()
        stream = score_pairs(source, target, loaded, config, progress=shown)
        for number, found in enumerate(stream, start=1):
            total += found
            if as_json:
                content = asdict(found)
                del content["num_pairs"]
                output.write(json.dumps({"line": number, **content}) + "\n")
            else:
                output.write(f"{found.log_prob:.6f}\t{found.num_tokens}\n")
        if as_json:
            summary = {**asdict(total), "perplexity": total.perplexity}
            output.write(json.dumps({"total": summary}) + "\n")
    if not as_json:
        show_note(
            f"{plural(total.num_pairs, 'pair')}, {plural(total.num_tokens, 'token')} "
            f"({total.num_unknown:,} unknown): log-probability {total.log_prob:.4f}, "
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


def _show(report: "Report", words: str, as_json: bool) -> None:
    if as_json:
        print_json(report.to_json())
        return
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
    one = report.metrics[0].signature.startswith("nrefs:1|")
    print_lines(
        [
            "",
            f"{plural(report.num_lines, 'line')}, "
            f"{plural(report.num_hyp_tokens, 'token')} against "
            f"{report.num_ref_tokens:,} in the {'' if one else 'first '}reference",
            f"tokenised: {words}",
            *(
                f"{metric.name}  {metric.signature}"
                for metric in report.metrics
                if metric.signature
            ),
        ]
    )

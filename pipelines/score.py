"""Stage 5: score the translation of a split, or of any file.

    translate/test/ + the raw test reference -> score/report.json

The raw reference is scored; only the tokenised metrics tokenize it. `score.lowercase`
says whether case counts; by default it does, unless the model's text is lower-cased.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from pipelines.artifacts.corpora import decoded_lines_of
from pipelines.artifacts.corpus import decoded_lines
from pipelines.artifacts.files import staged
from pipelines.artifacts.inputs import decoded_input, input_name
from pipelines.artifacts.layout import OUTPUT, REPORT, TEXT, TOKENS, Layout
from pipelines.artifacts.manifest import Manifest, require_sound, write_manifest
from pipelines.artifacts.report import METRIC_LABELS, Metric, Report, write_report
from pipelines.config import Config
from pipelines.config.schema import ScoreConfig
from pipelines.errors import CorpusError
from pipelines.metrics import accuracy, bleu
from pipelines.metrics.bootstrap import Resampling
from pipelines.metrics.references import Reference, read_references
from pipelines.progress import SILENT, Progress
from pipelines.project.stages import new_manifest
from pipelines.text.pipeline import TextPipeline
from pipelines.wording import plural

log = logging.getLogger(__name__)

LINE_TOKENS = "the lines' own words, between spaces"
"""The tokens that the tokenised metrics count in `score_files`."""

_EMPTY = "did the program that translates fail? s2s score HYP --ref REF reads a file"
_WORD_TOKENIZERS = ("moses", "none")
"""Target tokenizers whose tokens are words, scored as the decoder wrote them."""


def run(config: Config, layout: Layout, *, progress: Progress = SILENT) -> Manifest:
    """Score the translation of the split of `layout`.

    Raises:
        ArtifactError: `translate` has not run, or its files are damaged.
        CorpusError: The reference cannot be read or has another number of lines.
    """
    translation = require_sound(layout.translate)
    pipeline = _cased(TextPipeline.load(layout.preprocess / TEXT))
    output = layout.translate / OUTPUT
    ref_files = [target for _, target in config.data.splits()[layout.split]]
    hyp = list(decoded_lines(output))
    ref = list(decoded_lines_of(layout.root, ref_files))
    ref_names = " and ".join(str(layout.root / name) for name in ref_files)
    _require_equal_lines(hyp, ref, output, ref_names)
    if pipeline.target_tokenizer in _WORD_TOKENIZERS:
        hyp_tokens = list(decoded_lines(layout.translate / TOKENS))
    else:
        hyp_tokens = [pipeline.word_tokens(line) for line in hyp]
    report = score_texts(
        hyp,
        ref,
        config=config.score,
        hyp_tokens=hyp_tokens,
        ref_tokens=[[pipeline.word_tokens(line) for line in ref]],
        perplexity=translation.counts.get("perplexity"),
        progress=progress,
    )
    with staged(layout.score) as folder:
        write_report(folder / REPORT, report)
        values = {metric.name: round(metric.value, 4) for metric in report.metrics}
        counts = {"lines": report.num_lines, **values}
        manifest = new_manifest("score", config, layout, counts)
        manifest = write_manifest(folder, manifest)
    log.info(
        "scored %s: %s",
        plural(report.num_lines, "line"),
        ", ".join(f"{metric.name} {metric.value:.2f}" for metric in report.metrics),
    )
    return manifest


def score_files(
    translation: Path,
    references: Sequence[Path],
    *,
    config: ScoreConfig,
    progress: Progress = SILENT,
) -> Report:
    """Score any translation against reference files; needs no project.

    The tokenised metrics count the words between the lines' own spaces.

    Args:
        translation: A line for each source line; `-` is standard input.
        references: One file, or several with alternatives: an empty line of a second or
            later file is no further reference.
        config: Settings of the metrics.
        progress: Shows a task.

    Raises:
        CorpusError: A file cannot be read, a line is not UTF-8, the translation has
            no text, or the numbers of lines differ.
    """
    name = input_name(translation)
    hyp = list(decoded_input(translation))
    refs = read_references(references)
    if not hyp:
        raise CorpusError(f"{name} is empty, expected a translation", hint=_EMPTY)
    for path, ref in zip(references, refs, strict=True):
        _require_equal_lines(hyp, ref, name, input_name(path))
    if not any(line.strip() for line in hyp):
        raise CorpusError(
            f"{name} has {plural(len(hyp), 'line')}, none with text", hint=_EMPTY
        )
    if (
        not config.ignores_case
        and _lacks_capitals(hyp)
        and not _lacks_capitals(refs[0])
    ):
        log.warning(
            "%s has no capital letter, unlike the reference; see --lowercase", name
        )
    return score_texts(hyp, *refs, config=config, progress=progress)


def describe_tokens(config: Config) -> str:
    """Describe the tokens that the tokenised metrics of `run` count."""
    moses = f"words by Moses' rules for {config.data.target_lang}"
    _, tokenizer = config.preprocess.tokenizers
    if tokenizer == "none":
        return "the decoder's own tokens; the reference's words between spaces"
    if tokenizer == "moses":
        return f"the decoder's own tokens; the reference's {moses}"
    return moses


def score_texts(
    hyp: Sequence[str],
    *refs: Reference,
    config: ScoreConfig,
    hyp_tokens: Sequence[str] | None = None,
    ref_tokens: Sequence[Reference] | None = None,
    perplexity: float | None = None,
    progress: Progress = SILENT,
) -> Report:
    """Compute every metric.

    Args:
        hyp: Lines of the translation as ordinary text; may be empty.
        *refs: The references, as many lines each.
        config: Settings of the metrics.
        hyp_tokens: Each line's tokens joined by spaces; `hyp` by default.
        ref_tokens: The same of each reference; `refs` by default.
        perplexity: Of the reference under the model, where it is known.
        progress: Shows a task.

    Raises:
        CorpusError: There are no lines, or the numbers of lines differ.
    """
    hyp_tokens = hyp if hyp_tokens is None else hyp_tokens
    ref_tokens = refs if ref_tokens is None else ref_tokens
    for ref, tokens in zip(refs, ref_tokens, strict=True):
        counts = [len(lines) for lines in (hyp, ref, hyp_tokens, tokens)]
        if len(set(counts)) > 1:
            raise CorpusError(
                f"the translation has {plural(counts[0], 'line')} ({counts[2]:,} of "
                f"tokens), the reference has {counts[1]:,} ({counts[3]:,} of tokens)"
            )
    if not hyp:
        raise CorpusError("there is nothing to score: no lines")
    metrics: list[Metric] = []
    with progress.task("score", total=len(METRIC_LABELS), unit="metrics") as task:
        for metric in _metrics(hyp, refs, hyp_tokens, ref_tokens, config):
            metrics.append(metric)
            task.advance()
    return Report(
        num_lines=len(hyp),
        num_hyp_tokens=sum(len(line.split()) for line in hyp_tokens),
        num_ref_tokens=sum(len((line or "").split()) for line in ref_tokens[0]),
        metrics=tuple(metrics),
        perplexity=perplexity,
    )


def _metrics(
    hyp: Sequence[str],
    refs: Sequence[Reference],
    hyp_tokens: Sequence[str],
    ref_tokens: Sequence[Reference],
    config: ScoreConfig,
) -> Iterator[Metric]:
    samples, lowercase = config.bootstrap_samples, config.ignores_case
    resampling = Resampling(samples, config.seed) if samples else None
    yield bleu.bleu_tokenised(
        hyp_tokens, *ref_tokens, lowercase=lowercase, resampling=resampling
    )
    yield bleu.bleu_detokenised(hyp, *refs, lowercase=lowercase, resampling=resampling)
    yield bleu.chrf(hyp, *refs, lowercase=lowercase, resampling=resampling)
    yield bleu.ter(hyp, *refs, resampling=resampling)
    yield accuracy.exact_match(hyp, *refs, lowercase=lowercase, resampling=resampling)
    yield accuracy.token_error_rate(
        hyp_tokens, *ref_tokens, lowercase=lowercase, resampling=resampling
    )


def _cased(pipeline: TextPipeline) -> TextPipeline:
    """The same text pipeline without lower-casing."""
    settings = replace(pipeline.settings, lowercase=False)
    return TextPipeline(settings, models=pipeline.models)


def _lacks_capitals(lines: Reference) -> bool:
    return all(line == line.lower() for line in lines if line)


def _require_equal_lines(
    hyp: Sequence[str], ref: Reference, hyp_path: Path, ref_path: Path | str
) -> None:
    if len(hyp) != len(ref):
        raise CorpusError(
            f"{hyp_path} has {plural(len(hyp), 'line')}, {ref_path} has {len(ref):,}",
            hint=_likely_cause(hyp, len(ref)),
        )


def _likely_cause(hyp: Sequence[str], num_ref_lines: int) -> str:
    """A hint for a translation with another number of lines than its reference."""
    if hyp and " ||| " in hyp[0]:
        return "this is an n-best list; translate without --nbest for a line each"
    if hyp and hyp[0].startswith('{"'):
        return "these are JSON Lines; translate without --json for plain text"
    cause = "is the translation cut short, or are its blank lines gone?"
    if len(hyp) > num_ref_lines:
        cause = "is it the translation of another file?"
    return (
        "line n of the translation is scored against line n of the reference; " + cause
    )

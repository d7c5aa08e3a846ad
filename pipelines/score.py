"""Stage 5: how good the translation of the test split is, or of any file.

    translate/test/ + the raw test reference -> score/report.json

The reference is scored as it lies on disk. Only the tokenised metrics see its tokens,
and these keep their case: a lower-cased translation pays for its case unless
`score.lowercase` is set.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from pipelines import plan
from pipelines.artifacts.corpus import decode_line, decoded_lines
from pipelines.artifacts.files import staged
from pipelines.artifacts.layout import TEXT, Layout
from pipelines.artifacts.manifest import Manifest, require_sound, write_manifest
from pipelines.artifacts.report import REPORT, Metric, Report, write_report
from pipelines.config import Config
from pipelines.config.schema import ScoreConfig
from pipelines.errors import CorpusError
from pipelines.metrics import bleu, exact
from pipelines.metrics.bootstrap import Resampling
from pipelines.progress import SILENT, Progress
from pipelines.text.pipeline import TextPipeline

log = logging.getLogger(__name__)

_NUM_METRICS = 6
_STANDARD_INPUT = Path("standard input")
_OWN_TOKENS = ("moses", "none")
"""Target tokenizers whose tokens are words: scored as the decoder wrote them."""


def run(config: Config, layout: Layout, *, progress: Progress = SILENT) -> Manifest:
    """Score the translation of the test split.

    Raises:
        ArtifactError: `translate` has not run, or its files are damaged.
        CorpusError: The reference cannot be read or has another number of lines.
    """
    translated = require_sound(layout.translate)
    pipeline = _with_case(TextPipeline.load(layout.preprocess / TEXT))
    output = layout.translate / "output.txt"
    reference = layout.root / config.data.test[1]
    hyp, ref = list(decoded_lines(output)), list(decoded_lines(reference))
    _require_equal_lines(hyp, ref, output, reference)
    if pipeline.target_tokenizer in _OWN_TOKENS:
        hyp_tokens = list(decoded_lines(layout.translate / "tokens.txt"))
    else:
        hyp_tokens = [pipeline.word_tokens(line) for line in hyp]
    report = score_texts(
        hyp,
        ref,
        config=config.score,
        hyp_tokens=hyp_tokens,
        ref_tokens=[pipeline.word_tokens(line) for line in ref],
        perplexity=translated.counts.get("perplexity"),
        progress=progress,
    )
    with staged(layout.score) as folder:
        write_report(folder / REPORT, report)
        values = {metric.name: round(metric.value, 4) for metric in report.metrics}
        counts = {"lines": report.num_lines, **values}
        manifest = plan.new_manifest("score", config, layout, counts)
        written = write_manifest(folder, manifest)
    log.info(
        "scored %d lines: %s",
        report.num_lines,
        ", ".join(f"{metric.name} {metric.value:.2f}" for metric in report.metrics),
    )
    return written


def score_lines(
    hyp: Iterable[bytes],
    reference: Path,
    *,
    config: ScoreConfig,
    source: Path = _STANDARD_INPUT,
    progress: Progress = SILENT,
) -> Report:
    """Score any translation against a file; needs no project.

    Every metric takes the lines as they are: blanks separate the tokens of those that
    count tokens.

    Args:
        hyp: Lines of the translation without their ends.
        reference: One line for each; plain, `.gz` or `.zst`.
        config: How to score.
        source: What messages call the translation.
        progress: Where to show.

    Raises:
        CorpusError: A line is not UTF-8, the reference cannot be read, or the numbers
            of lines differ.
    """
    lines = [decode_line(raw, source, n) for n, raw in enumerate(hyp, start=1)]
    ref = list(decoded_lines(reference))
    _require_equal_lines(lines, ref, source, reference)
    return score_texts(lines, ref, config=config, progress=progress)


def score_texts(
    hyp: Sequence[str],
    ref: Sequence[str],
    *,
    config: ScoreConfig,
    hyp_tokens: Sequence[str] | None = None,
    ref_tokens: Sequence[str] | None = None,
    perplexity: float | None = None,
    progress: Progress = SILENT,
) -> Report:
    """Compute every metric.

    Args:
        hyp: The translation as ordinary text, a line each; lines may be empty.
        ref: The reference, as many lines.
        config: How to score.
        hyp_tokens: The translation's tokens joined by blanks; its lines by default.
        ref_tokens: The reference's tokens; its lines by default.
        perplexity: Of the reference under the model, where it is known.
        progress: Where to show.

    Raises:
        CorpusError: There are no lines, or the numbers of lines differ.
    """
    hyp_tokens = hyp if hyp_tokens is None else hyp_tokens
    ref_tokens = ref if ref_tokens is None else ref_tokens
    counts = [len(lines) for lines in (hyp, ref, hyp_tokens, ref_tokens)]
    if len(set(counts)) > 1:
        raise CorpusError(
            f"the translation has {counts[0]} lines ({counts[2]} of tokens), "
            f"the reference has {counts[1]} ({counts[3]} of tokens)"
        )
    if not hyp:
        raise CorpusError("there is nothing to score: no lines")
    found: list[Metric] = []
    with progress.task("score", total=_NUM_METRICS, unit="metrics") as task:
        for metric in _metrics(hyp, ref, hyp_tokens, ref_tokens, config):
            found.append(metric)
            task.advance()
    return Report(
        num_lines=len(hyp),
        num_hyp_tokens=sum(len(line.split()) for line in hyp_tokens),
        num_ref_tokens=sum(len(line.split()) for line in ref_tokens),
        metrics=tuple(found),
        perplexity=perplexity,
    )


def _metrics(
    hyp: Sequence[str],
    ref: Sequence[str],
    hyp_tokens: Sequence[str],
    ref_tokens: Sequence[str],
    config: ScoreConfig,
) -> Iterator[Metric]:
    samples, lowercase = config.bootstrap_samples, config.lowercase
    resampling = Resampling(samples, config.seed) if samples else None
    yield bleu.bleu_tokenised(
        hyp_tokens, ref_tokens, lowercase=lowercase, resampling=resampling
    )
    yield bleu.bleu_detokenised(hyp, ref, lowercase=lowercase, resampling=resampling)
    yield bleu.chrf(hyp, ref, lowercase=lowercase, resampling=resampling)
    yield bleu.ter(hyp, ref, resampling=resampling)
    yield exact.exact_match(hyp, ref, lowercase=lowercase, resampling=resampling)
    yield exact.token_error_rate(
        hyp_tokens, ref_tokens, lowercase=lowercase, resampling=resampling
    )


def _with_case(pipeline: TextPipeline) -> TextPipeline:
    """The same rules for words, without lower-casing."""
    settings = replace(pipeline.settings, lowercase=False)
    return TextPipeline(settings, models=pipeline.models)


def _require_equal_lines(
    hyp: Sequence[str], ref: Sequence[str], hyp_path: Path, ref_path: Path
) -> None:
    if len(hyp) != len(ref):
        raise CorpusError(
            f"{hyp_path} has {len(hyp)} lines, {ref_path} has {len(ref)}",
            hint="line n of the translation is scored against line n of the reference",
        )

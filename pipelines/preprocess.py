"""preprocess: raw parallel text in, tokens and vocabularies out.

Surveys every file before any work, trains SentencePiece models where needed, turns
parts of a fixed number of pairs into token files (in parallel; the number of processes
does not change a byte) and builds the vocabularies from the token counts. Every dropped
pair is listed in `dropped.tsv` with its reason: kept + dropped = read.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.artifacts.corpora import (
    Corpus,
    RawPart,
    describe_corpora,
    read_corpora,
    survey_corpora,
)
from pipelines.artifacts.corpus import require_unchanged, write_part
from pipelines.artifacts.dropped import dropped_pairs_writer
from pipelines.artifacts.files import staged
from pipelines.artifacts.hash_cache import cache_hashes
from pipelines.artifacts.layout import DROPPED, TEXT, Layout, part_name
from pipelines.artifacts.manifest import Manifest, write_manifest
from pipelines.config import Config, PreprocessConfig
from pipelines.errors import ConfigError, CorpusError
from pipelines.parallel import map_in_order, num_processes
from pipelines.progress import SILENT, Progress
from pipelines.project.input_files import corpus_roles
from pipelines.project.stages import new_manifest
from pipelines.text.coverage import warn_about_unseen_pieces
from pipelines.text.own_files import OwnFiles
from pipelines.text.pipeline import TextPipeline
from pipelines.text.pretokenized import warn_about_pretokenized_text
from pipelines.text.sentencepiece_training import make_sentencepiece_models
from pipelines.text.settings import TextSettings
from pipelines.text.tokenize_part import (
    LengthFilter,
    PairStatistics,
    count_tokens,
    text_warnings,
    tokenize_part,
)
from pipelines.text.vocabularies import Vocabularies, make_vocabularies
from pipelines.wording import plural

_log = logging.getLogger(__name__)

_REQUIRED_SPLITS = ("train", "valid")
_UNFILTERED_SPLITS = ("test",)  # every line of these is translated

Splits = Mapping[str, tuple[Corpus, ...]]
Job = tuple[str, Corpus, RawPart]
"""A part to tokenize, with its split and corpus."""


def run(config: Config, layout: Layout, *, progress: Progress = SILENT) -> Manifest:
    """Preprocess every split of the settings.

    Raises:
        ConfigError: There is no training or validation text, or a vocabulary or model
            that a setting names is missing.
        CorpusError: A text is missing, empty, not UTF-8, unequal in length, changed
            meanwhile or without a pair to keep; or a vocabulary or model is damaged.
    """
    splits = _survey(config, layout, progress)
    own = OwnFiles.read(config.preprocess, layout.root)
    with staged(layout.preprocess) as folder:
        pipeline = _pipeline_without_vocabularies(config, splits["train"], own)
        result = _tokenize(splits, pipeline, config.preprocess, folder, progress)
        for split in _REQUIRED_SPLITS:
            _require_pairs(split, result.statistics[split], splits[split])
        train, valid = (result.token_counts[split] for split in _REQUIRED_SPLITS)
        vocabularies = make_vocabularies(config.preprocess, *train, own=own.tokens)
        warn_about_unseen_pieces(config.preprocess, train, valid)
        pipeline = pipeline.with_vocabularies(vocabularies.source, vocabularies.target)
        pipeline.save(folder / TEXT)
        counts = _manifest_counts(result, vocabularies)
        for split, corpora in splits.items():
            if len(corpora) > 1:
                size = config.preprocess.part_size
                counts[split]["corpora"] = describe_corpora(corpora, part_size=size)
        manifest = new_manifest("preprocess", config, layout, counts)
        _require_unchanged_inputs(manifest, splits, own)
        return write_manifest(folder, manifest)


def _survey(config: Config, layout: Layout, progress: Progress) -> Splits:
    """Survey all files and cache their hashes, so that none is read again for them."""
    names_by_split = config.data.splits()
    for split in _REQUIRED_SPLITS:
        if split not in names_by_split:
            raise ConfigError(
                f"data.{split} is not set",
                hint=f'set {split} = ["SRC", "TGT"] in [data] of {layout.settings}',
            )
    splits: dict[str, tuple[Corpus, ...]] = {}
    with progress.task("survey", total=len(names_by_split), unit="splits") as task:
        for split, names in names_by_split.items():
            splits[split] = survey_corpora(layout.root, names)
            task.advance()
            for corpus in splits[split] if len(names) > 1 else ():
                _log.info("%s: %s", corpus, plural(corpus.num_pairs, "pair"))
            _log.info("%s: %s", split, plural(_num_pairs(splits[split]), "pair"))
    surveys = [s for corpora in splits.values() for c in corpora for s in c.surveys]
    cache_hashes({survey.stamp: survey.sha256 for survey in surveys}, layout)
    return splits


def _num_pairs(corpora: Iterable[Corpus]) -> int:
    return sum(corpus.num_pairs for corpus in corpora)


def _pipeline_without_vocabularies(
    config: Config, train: tuple[Corpus, ...], own: OwnFiles
) -> TextPipeline:
    """Build the text pipeline with its tokenizers; vocabularies need their output."""
    pipeline = TextPipeline(TextSettings.from_config(config))
    files = [corpus.files for corpus in train]
    models = make_sentencepiece_models(
        config.preprocess, pipeline, files, own=own.models
    )
    pipeline = TextPipeline(pipeline.settings, models=models)
    pipeline.build_tokenizers()
    warn_about_pretokenized_text(pipeline, files)
    return pipeline


# Tokens ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _PartResult:
    """Counts of one part that was tokenized and written."""

    split: str
    index: int
    statistics: PairStatistics
    drops: list[tuple[int, str]]
    src_counts: Counter[str]
    tgt_counts: Counter[str]


@dataclass(frozen=True, slots=True)
class _PartWriter:
    """Tokenizes one part and writes it; sent to the worker processes."""

    pipeline: TextPipeline
    length_filter: LengthFilter
    folder: Path

    def __call__(self, job: Job) -> _PartResult:
        split, corpus, part = job
        tokenized = tokenize_part(
            part,
            self.pipeline,
            files=corpus.files,
            length_filter=None if split in _UNFILTERED_SPLITS else self.length_filter,
        )
        write_part(self.folder / part_name(split, part.index, "src"), tokenized.src)
        write_part(self.folder / part_name(split, part.index, "tgt"), tokenized.tgt)
        is_counted = split in _REQUIRED_SPLITS
        return _PartResult(
            split,
            part.index,
            tokenized.statistics,
            tokenized.drops,
            count_tokens(tokenized.src) if is_counted else Counter(),
            count_tokens(tokenized.tgt) if is_counted else Counter(),
        )


@dataclass(slots=True)
class _TokenizationResult:
    """Counts of all parts, for each split."""

    statistics: dict[str, PairStatistics]
    token_counts: dict[str, tuple[Counter[str], Counter[str]]] = field(
        default_factory=lambda: {s: (Counter(), Counter()) for s in _REQUIRED_SPLITS}
    )
    """Token counts of source and target."""

    def add(self, part: _PartResult) -> None:
        self.statistics[part.split].merge(part.statistics)
        if part.split in self.token_counts:
            src_counts, tgt_counts = self.token_counts[part.split]
            src_counts.update(part.src_counts)
            tgt_counts.update(part.tgt_counts)


def _tokenize(
    splits: Splits,
    pipeline: TextPipeline,
    settings: PreprocessConfig,
    folder: Path,
    progress: Progress,
) -> _TokenizationResult:
    """Tokenize and write all parts, in parallel, and list the dropped pairs."""
    corpora = [corpus for corpora in splits.values() for corpus in corpora]
    num_parts = sum(corpus.num_parts(settings.part_size) for corpus in corpora)
    processes = num_processes(settings.workers, num_parts)
    write = _PartWriter(pipeline, LengthFilter.from_config(settings), folder)
    jobs = _jobs(splits, settings.part_size)
    result = _TokenizationResult({split: PairStatistics() for split in splits})
    with (
        dropped_pairs_writer(folder / DROPPED) as dropped,
        progress.task("tokenize", total=_num_pairs(corpora), unit="pairs") as task,
        closing(map_in_order(write, jobs, processes=processes)) as parts,
    ):
        for part in parts:
            result.add(part)
            dropped.write(part.split, part.index, part.drops)
            task.advance(part.statistics.num_read)
    for split, statistics in result.statistics.items():
        assert statistics.num_kept + statistics.dropped.total() == statistics.num_read
        _log_statistics(split, statistics, settings)
    return result


def _jobs(splits: Splits, part_size: int) -> Iterator[Job]:
    for split, corpora in splits.items():
        for corpus, part in read_corpora(corpora, part_size=part_size):
            yield split, corpus, part


def _log_statistics(
    split: str, statistics: PairStatistics, settings: PreprocessConfig
) -> None:
    dropped = statistics.describe_dropped()
    _log.info(
        "%s: kept %s of %s%s",
        split,
        f"{statistics.num_kept:,}",
        plural(statistics.num_read, "pair"),
        f" (dropped {dropped})" if dropped else "",
    )
    for warning in text_warnings(statistics, settings):
        _log.warning("%s: %s", split, warning)


def _require_pairs(
    split: str, statistics: PairStatistics, corpora: tuple[Corpus, ...]
) -> None:
    if statistics.num_kept:
        return
    files = "; ".join(map(str, corpora))
    raise CorpusError(
        f"{split}: no pair of {files} is left ({statistics.describe_dropped()})",
        hint="raise preprocess.max_length or preprocess.max_ratio, or check the text",
    )


# Manifest ----------------------------------------------------------------------------


def _manifest_counts(
    result: _TokenizationResult, vocabularies: Vocabularies
) -> dict[str, Any]:
    """Counts of the manifest; tokens are counted without `</s>`."""
    counts: dict[str, Any] = {
        split: statistics.manifest_counts()
        for split, statistics in result.statistics.items()
    }
    counts["train"] |= {
        "unknown_source_share": round(vocabularies.source_unknown_share, 6),
        "unknown_target_share": round(vocabularies.target_unknown_share, 6),
    }
    counts["source_vocab_size"] = len(vocabularies.source)
    counts["target_vocab_size"] = len(vocabularies.target)
    return counts


def _require_unchanged_inputs(
    manifest: Manifest, splits: Splits, own: OwnFiles
) -> None:
    """Compare the manifest's hashes with those of the content that was processed."""
    processed = [
        (role, file, survey.sha256)
        for split, corpora in splits.items()
        for number, corpus in enumerate(corpora, start=1)
        for role, file, survey in zip(
            corpus_roles(split, number), corpus.files, corpus.surveys, strict=True
        )
    ]
    processed += [
        (f"preprocess.{name}", own.paths[name], sha256)
        for name, sha256 in own.hashes.items()
    ]
    for role, file, sha256 in processed:
        require_unchanged(file, sha256, manifest.inputs[role])

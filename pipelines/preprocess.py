"""preprocess: raw parallel text in, tokens and vocabularies out.

Surveys every file before any work, trains SentencePiece where it is asked for, turns
parts of a fixed number of pairs into token files (in parallel, the same bytes for any
number of processes) and makes the vocabularies from their tokens' counts. Every pair
that is left out stands in `dropped.tsv` with its reason: kept + dropped = read.
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
    describe_corpora,
    read_corpora,
    survey_corpora,
)
from pipelines.artifacts.corpus import RawPart, write_part
from pipelines.artifacts.files import staged
from pipelines.artifacts.layout import DROPPED, TEXT, Layout, part_name
from pipelines.artifacts.manifest import Manifest, write_manifest
from pipelines.config import Config, PreprocessConfig
from pipelines.errors import ConfigError, CorpusError
from pipelines.parallel import map_in_order, num_processes
from pipelines.progress import SILENT, Progress
from pipelines.project.input_files import corpus_roles
from pipelines.project.stages import new_manifest
from pipelines.text.coverage import warn_of_unseen_pieces
from pipelines.text.learn import sentencepiece_models
from pipelines.text.own_files import OwnFiles
from pipelines.text.pipeline import TextPipeline
from pipelines.text.settings import TextSettings
from pipelines.text.symbols import warn_of_symbols
from pipelines.text.tokenize_part import (
    Filter,
    Tally,
    count_tokens,
    notable_losses,
    tokenize_part,
)
from pipelines.text.vocabularies import Vocabularies, make_vocabularies
from pipelines.wording import plural

_log = logging.getLogger(__name__)

_DROPPED_HEADER = "split\tpart\tline\treason\n"
_NEEDED = ("train", "valid")  # the splits that training cannot do without
_KEEP_ALL = ("test",)  # every line of these gets a translation

Splits = Mapping[str, tuple[Corpus, ...]]


def run(config: Config, layout: Layout, *, progress: Progress = SILENT) -> Manifest:
    """Preprocess every split that is set.

    Raises:
        ConfigError: There is no training or validation text, or a vocabulary or model
            that a setting names is missing.
        CorpusError: A text is missing, empty, not UTF-8 or unequal in length, or
            nothing of it can be kept; or a vocabulary or model is not one.
    """
    splits = _survey(config, layout, progress)
    own = OwnFiles.read(config.preprocess, layout.root)
    with staged(layout.preprocess) as folder:
        pipeline = _without_vocabularies(config, splits["train"], own)
        work = _Work(config, splits, pipeline, folder)
        outcome = _tokenize(work, progress)
        for split in _NEEDED:
            _require_pairs(split, outcome.tallies[split], splits[split])
        train, valid = (outcome.token_counts[split] for split in _NEEDED)
        vocabularies = make_vocabularies(config.preprocess, *train, own=own.tokens)
        warn_of_unseen_pieces(config.preprocess, train, valid)
        pipeline = pipeline.with_vocabularies(vocabularies.source, vocabularies.target)
        pipeline.save(folder / TEXT)
        counts = _counts(outcome, vocabularies)
        for split, corpora in splits.items():
            if len(corpora) > 1:
                size = config.preprocess.part_size
                counts[split]["corpora"] = describe_corpora(corpora, part_size=size)
        manifest = new_manifest("preprocess", config, layout, counts)
        _require_unchanged(manifest, splits, own)
        return write_manifest(folder, manifest)


def _survey(config: Config, layout: Layout, progress: Progress) -> Splits:
    named = config.data.splits()
    for split in _NEEDED:
        if split not in named:
            raise ConfigError(
                f"data.{split} is not set",
                hint=f'set {split} = ["SRC", "TGT"] in [data] of {layout.settings}',
            )
    splits: dict[str, tuple[Corpus, ...]] = {}
    with progress.task("survey", total=len(named), unit="splits") as task:
        for split, names in named.items():
            splits[split] = survey_corpora(layout.root, names)
            task.advance()
            for corpus in splits[split] if len(names) > 1 else ():
                _log.info("%s: %s", corpus, plural(corpus.num_pairs, "pair"))
            _log.info("%s: %s", split, plural(_num_pairs(splits[split]), "pair"))
    return splits


def _num_pairs(corpora: Iterable[Corpus]) -> int:
    return sum(corpus.num_pairs for corpus in corpora)


def _without_vocabularies(
    config: Config, corpora: tuple[Corpus, ...], own: OwnFiles
) -> TextPipeline:
    """The text rules, yet without vocabularies."""
    pipeline = TextPipeline(TextSettings.from_config(config))
    files = [corpus.files for corpus in corpora]
    models = sentencepiece_models(config.preprocess, pipeline, files, own=own.models)
    pipeline = TextPipeline(pipeline.settings, models=models)
    pipeline.prepare()
    warn_of_symbols(pipeline, files)
    return pipeline


# Tokens ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Work:
    """All that the tokenization needs."""

    config: Config
    splits: Splits
    pipeline: TextPipeline
    folder: Path

    def parts(self) -> Iterator[tuple[str, Corpus, RawPart]]:
        size = self.config.preprocess.part_size
        for split, corpora in self.splits.items():
            for corpus, part in read_corpora(corpora, part_size=size):
                yield split, corpus, part

    @property
    def corpora(self) -> list[Corpus]:
        return [corpus for corpora in self.splits.values() for corpus in corpora]


@dataclass(frozen=True, slots=True)
class _PartOutcome:
    """What a process tells of a part it has written."""

    split: str
    index: int
    tally: Tally
    drops: list[tuple[int, str]]
    src_counts: Counter[str]
    tgt_counts: Counter[str]


@dataclass(frozen=True, slots=True)
class _WritePart:
    """Tokenizes one part and writes it; travels to the processes."""

    pipeline: TextPipeline
    keep: Filter
    folder: Path

    def __call__(self, job: tuple[str, Corpus, RawPart]) -> _PartOutcome:
        split, corpus, part = job
        found = tokenize_part(
            part,
            self.pipeline,
            files=corpus.files,
            keep=None if split in _KEEP_ALL else self.keep,
        )
        write_part(self.folder / part_name(split, part.index, "src"), found.src)
        write_part(self.folder / part_name(split, part.index, "tgt"), found.tgt)
        counted = split in _NEEDED
        return _PartOutcome(
            split,
            part.index,
            found.tally,
            found.drops,
            count_tokens(found.src) if counted else Counter(),
            count_tokens(found.tgt) if counted else Counter(),
        )


@dataclass(slots=True)
class _Outcome:
    """What all parts together came to."""

    tallies: dict[str, Tally]
    token_counts: dict[str, tuple[Counter[str], Counter[str]]] = field(
        default_factory=lambda: {split: (Counter(), Counter()) for split in _NEEDED}
    )
    """Token counts of source and target, for each split that training needs."""

    def add(self, part: _PartOutcome) -> None:
        self.tallies[part.split].add(part.tally)
        if part.split in self.token_counts:
            src_counts, tgt_counts = self.token_counts[part.split]
            src_counts.update(part.src_counts)
            tgt_counts.update(part.tgt_counts)


def _tokenize(work: _Work, progress: Progress) -> _Outcome:
    settings = work.config.preprocess
    write = _WritePart(work.pipeline, Filter.from_config(settings), work.folder)
    num_parts = sum(corpus.num_parts(settings.part_size) for corpus in work.corpora)
    processes = num_processes(settings.workers, num_parts)
    total = _num_pairs(work.corpora)
    outcome = _Outcome({split: Tally() for split in work.splits})
    with (
        (work.folder / DROPPED).open("w", encoding="utf-8", newline="\n") as ledger,
        progress.task("tokenize", total=total, unit="pairs") as task,
        closing(map_in_order(write, work.parts(), processes=processes)) as parts,
    ):
        ledger.write(_DROPPED_HEADER)
        for part in parts:
            outcome.add(part)
            ledger.writelines(
                f"{part.split}\t{part.index:05d}\t{line}\t{reason}\n"
                for line, reason in part.drops
            )
            task.advance(part.tally.num_read)
    for split, tally in outcome.tallies.items():
        assert tally.num_kept + tally.dropped.total() == tally.num_read
        _report(split, tally, settings)
    return outcome


def _report(split: str, tally: Tally, settings: PreprocessConfig) -> None:
    _log.info(
        "%s: kept %s of %s%s",
        split,
        f"{tally.num_kept:,}",
        plural(tally.num_read, "pair"),
        f" (dropped {tally.dropped_text})" if tally.dropped else "",
    )
    for loss in notable_losses(tally, settings):
        _log.warning("%s: %s", split, loss)
    if tally.num_controls:
        _log.warning(
            "%s: %s became blanks, the first at %s",
            split,
            plural(tally.num_controls, "control character"),
            ", ".join(tally.examples),
        )
    if tally.num_specials:
        _log.warning(
            "%s: %s became <unk>",
            split,
            plural(tally.num_specials, "literal special symbol"),
        )


def _require_pairs(split: str, tally: Tally, corpora: tuple[Corpus, ...]) -> None:
    if tally.num_kept:
        return
    files = "; ".join(map(str, corpora))
    raise CorpusError(
        f"{split}: no pair of {files} is left ({tally.dropped_text})",
        hint="raise preprocess.max_length or preprocess.max_ratio, or check the text",
    )


# The account -------------------------------------------------------------------------


def _counts(outcome: _Outcome, vocabularies: Vocabularies) -> dict[str, Any]:
    """Counts of the manifest; tokens are without `</s>`."""
    counts: dict[str, Any] = {
        split: tally.counts() for split, tally in outcome.tallies.items()
    }
    counts["train"] |= {
        "unknown_source_share": round(vocabularies.source_unknown, 6),
        "unknown_target_share": round(vocabularies.target_unknown, 6),
    }
    counts["source_vocab_size"] = len(vocabularies.source)
    counts["target_vocab_size"] = len(vocabularies.target)
    return counts


def _require_unchanged(manifest: Manifest, splits: Splits, own: OwnFiles) -> None:
    read = {
        role: (found.sha256, file)
        for split, corpora in splits.items()
        for number, corpus in enumerate(corpora, start=1)
        for role, file, found in zip(
            corpus_roles(split, number), corpus.files, corpus.surveys, strict=True
        )
    }
    read |= {
        f"preprocess.{name}": (sha256, own.paths[name])
        for name, sha256 in own.hashes.items()
    }
    for name, (sha256, file) in read.items():
        if manifest.inputs[name] != sha256:
            raise CorpusError(
                f"{file} changed while it was read", hint="s2s preprocess"
            )

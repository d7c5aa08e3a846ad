"""binarize: tokens in, memory-mapped shards of ids out, one for each part."""

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from pipelines.artifacts.corpus import read_part
from pipelines.artifacts.files import staged
from pipelines.artifacts.layout import (
    SPLITS,
    TEXT,
    Layout,
    part_name,
    shard_name,
)
from pipelines.artifacts.manifest import Manifest, read_manifest, write_manifest
from pipelines.artifacts.shards import write_shard
from pipelines.artifacts.vocab import UNK, Vocabulary
from pipelines.config import Config
from pipelines.errors import CorruptArtifactError
from pipelines.parallel import map_in_order, num_processes
from pipelines.progress import SILENT, Progress
from pipelines.project.stages import new_manifest
from pipelines.text.pipeline import TextPipeline
from pipelines.wording import plural

_log = logging.getLogger(__name__)

Job = tuple[str, int]
"""Split and index of a part."""


def run(config: Config, layout: Layout, *, progress: Progress = SILENT) -> Manifest:
    """Convert every part of `preprocess` to a shard.

    Raises:
        MissingArtifactError: The folder `preprocess` or a part is missing.
        CorruptArtifactError: The sides of a part differ in length, or a file is
            damaged.
    """
    tokens = layout.preprocess
    jobs = list(_jobs(read_manifest(tokens)))
    pipeline = TextPipeline.load(tokens / TEXT)
    with staged(layout.binarize) as folder:
        write = _ShardWriter(
            pipeline.source_vocab, pipeline.target_vocab, tokens, folder
        )
        processes = num_processes(config.binarize.workers, len(jobs))
        counts: dict[str, Counter[str]] = {}
        with (
            progress.task("binarize", total=len(jobs), unit="parts") as task,
            closing(map_in_order(write, jobs, processes=processes)) as results,
        ):
            for (split, _), part_counts in zip(jobs, results, strict=True):
                counts.setdefault(split, Counter()).update(part_counts)
                task.advance()
        for split, count in counts.items():
            _log.info(
                "%s: %s in %s",
                split,
                plural(count["pairs"], "pair"),
                plural(count["shards"], "shard"),
            )
        manifest_counts = {split: dict(count) for split, count in counts.items()}
        manifest = new_manifest("binarize", config, layout, manifest_counts)
        return write_manifest(folder, manifest)


def _jobs(manifest: Manifest) -> Iterator[Job]:
    for split in SPLITS:
        if split in manifest.counts:
            for part in range(manifest.counts[split]["parts"]):
                yield split, part


@dataclass(frozen=True, slots=True)
class _ShardWriter:
    """Converts one part to a shard; sent to the worker processes."""

    source_vocab: Vocabulary
    target_vocab: Vocabulary
    tokens: Path
    folder: Path

    def __call__(self, job: Job) -> dict[str, int]:
        """Write a shard; count its pairs, and its tokens without `</s>`."""
        split, part = job
        src = self._ids(part_name(split, part, "src"), self.source_vocab)
        tgt = self._ids(part_name(split, part, "tgt"), self.target_vocab)
        if len(src) != len(tgt):
            raise CorruptArtifactError(
                f"{self.tokens / part_name(split, part, 'src')} has "
                f"{plural(len(src), 'line')}, {part_name(split, part, 'tgt')} has "
                f"{len(tgt):,}",
                hint="s2s preprocess --force",
            )
        metadata = {
            "src_vocab": self.source_vocab.sha256,
            "tgt_vocab": self.target_vocab.sha256,
            "split": split,
            "part": str(part),
        }
        write_shard(self.folder / shard_name(split, part), src, tgt, metadata=metadata)
        return {
            "shards": 1,
            "pairs": len(src),
            "source_tokens": sum(map(len, src)) - len(src),
            "target_tokens": sum(map(len, tgt)) - len(tgt),
            "source_unknown": sum(ids.count(UNK) for ids in src),
            "target_unknown": sum(ids.count(UNK) for ids in tgt),
        }

    def _ids(self, name: str, vocabulary: Vocabulary) -> list[list[int]]:
        return [vocabulary.ids(tokens) for tokens in read_part(self.tokens / name)]

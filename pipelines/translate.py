"""Stage 4: the best checkpoint translates a split into a folder, or any text.

    train/ + the raw test source -> translate/test/output.txt   detokenized
                                    translate/test/tokens.txt   the same as tokens
                                    translate/test/nbest.txt    Moses n-best list

One line in, one line out, in order, counted and checked; blank in, blank out.
"""

import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path

from pipelines.artifacts.corpora import lines_of
from pipelines.artifacts.files import sha256_bytes, sha256_file, staged
from pipelines.artifacts.layout import NBEST, OUTPUT, TOKENS, Layout
from pipelines.artifacts.manifest import Manifest, write_manifest
from pipelines.artifacts.resumable import resumable
from pipelines.artifacts.source_text import SourceText
from pipelines.artifacts.stream import full_chunks
from pipelines.artifacts.translations import (
    FORMATS,
    FormatName,
    format_nbest,
    format_text,
    format_tokens,
)
from pipelines.config import Config
from pipelines.data.dataset import ParallelDataset
from pipelines.metrics.perplexity import perplexity
from pipelines.progress import SILENT, Progress
from pipelines.project.stages import new_manifest
from pipelines.search.chunks import LineTranslator, translate_chunks
from pipelines.search.forced_decoding import ForcedDecoder, ForcedTargets
from pipelines.search.loading import LoadedEnsemble, load_ensemble
from pipelines.search.translator import Translator
from pipelines.wording import plural

log = logging.getLogger(__name__)


def run(config: Config, layout: Layout, *, progress: Progress = SILENT) -> Manifest:
    """Translate the split of `layout` with the best checkpoint.

    Raises:
        ArtifactError: There is no sound checkpoint.
        CorpusError: The source cannot be read.
    """
    loaded = load_ensemble([layout.train], config.translate)
    translator = Translator(loaded, config.translate)
    (checkpoint,) = loaded.names
    log.info("translating with %s, %s", checkpoint, translator.settings)
    sources = [source for source, _ in config.data.splits()[layout.split]]
    lines = list(lines_of(layout.root, sources))
    started = time.perf_counter()
    chunks = translate_chunks(
        full_chunks(lines, translator.chunk_size),
        translator,
        progress=progress,
        total=len(lines),
    )
    translations = [translation for chunk in chunks for translation in chunk]
    elapsed_s = time.perf_counter() - started
    counts = {
        "lines": len(translations),
        "blank": sum(not t.outputs for t in translations),
        "truncated": sum(t.truncated for t in translations),
        "checkpoint": checkpoint,
        "perplexity": _reference_perplexity(loaded, layout),
        "seconds": round(elapsed_s, 1),
    }
    with staged(layout.translate) as folder:
        for name, formatted in (
            (OUTPUT, format_text),
            (TOKENS, format_tokens),
            (NBEST, format_nbest),
        ):
            with (folder / name).open("w", encoding="utf-8", newline="\n") as file:
                file.writelines(formatted(n, t) for n, t in enumerate(translations))
        manifest = new_manifest(
            "translate", config, layout, counts, arithmetic=loaded.arithmetic
        )
        written = write_manifest(folder, manifest)
    log.info(
        "translated %s in %.1f s (%.0f lines/s)",
        plural(len(translations), "line"),
        elapsed_s,
        len(translations) / max(elapsed_s, 1e-9),
    )
    return written


def translate_files(
    source: SourceText,
    translator: LineTranslator,
    output: Path,
    format_name: FormatName = "text",
    *,
    total: int | None = None,
    progress: Progress = SILENT,
) -> None:
    """Translate regular files into a file; resume an interrupted task.

    Args:
        source: Regular files.
        translator: Its models and settings and the source identify the task.
        output: Appears when it is complete; compressed if it ends in .gz or .zst.
        format_name: How translations are written.
        total: Number of lines, if it is known.
        progress: Shows progress.

    Raises:
        BusyError: Another process is writing the same output.
        CorpusError: A file cannot be read.
    """
    identity = _task_identity(source, translator, format_name)
    with resumable(output, identity) as partial:
        for num_lines, text in translate_text(
            source,
            translator,
            format_name,
            skip=partial.num_inputs,
            total=total,
            progress=progress,
        ):
            partial.file.write(text)
            partial.record(num_lines)


def translate_text(
    source: SourceText,
    translator: LineTranslator,
    format_name: FormatName = "text",
    *,
    skip: int = 0,
    total: int | None = None,
    progress: Progress = SILENT,
) -> Iterator[tuple[int, str]]:
    """Translate a text as its lines arrive.

    Args:
        source: Files, or a live stream.
        translator: The models and the search.
        format_name: How translations are written.
        skip: Lines at the beginning that are translated already.
        total: Number of all lines, if it is known.
        progress: Shows progress.

    Yields:
        For each chunk of lines the number of lines so far and the formatted output.

    Raises:
        CorpusError: A file cannot be read.
    """
    chunks = translate_chunks(
        source.chunks(translator.chunk_size, skip=skip),
        translator,
        first=skip,
        progress=progress,
        total=None if total is None else total - skip,
    )
    formatted, number = FORMATS[format_name], skip
    for translations in chunks:
        text = "".join(formatted(n, t) for n, t in enumerate(translations, number))
        number += len(translations)
        yield number, text


def _task_identity(
    source: SourceText, translator: LineTranslator, format_name: FormatName
) -> str:
    """Hash of everything that determines the output of `translate_files`."""
    settings = translator.config.fingerprinted()
    hashes = [sha256_file(path) for path in source.paths]
    content = [translator.identity, settings, *hashes, format_name]
    return sha256_bytes(json.dumps(content, sort_keys=True).encode())


def _reference_perplexity(loaded: LoadedEnsemble, layout: Layout) -> float:
    """Perplexity of the references of the binarized pairs, by forced decoding."""
    dataset = ParallelDataset.open(layout.binarize, layout.split)
    pairs = [dataset.pair(number) for number in range(len(dataset))]
    scores = ForcedDecoder(loaded).score(
        [ForcedTargets(src, [tgt.tolist()]) for src, tgt in pairs]
    )
    num_tokens = sum(len(tgt) for _, tgt in pairs)
    log_prob = sum(sum(log_probs) for (log_probs,) in scores)
    return perplexity(log_prob, num_tokens)

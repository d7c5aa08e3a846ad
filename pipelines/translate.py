"""Stage 4: the best checkpoint translates, a split into a folder or any stream.

    train/ + the raw test source -> translate/test/output.txt   detokenized
                                    translate/test/tokens.txt   the same as tokens
                                    translate/test/nbest.txt    Moses n-best list

One line in, one line out, in order, counted and checked; blank in, blank out.
"""

import json
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pipelines.artifacts.corpora import lines_of
from pipelines.artifacts.corpus import warn_of_lines
from pipelines.artifacts.files import sha256_bytes, sha256_file, staged
from pipelines.artifacts.layout import NBEST, OUTPUT, TOKENS, Layout
from pipelines.artifacts.manifest import Manifest, write_manifest
from pipelines.artifacts.nbest import LSTM, NbestEntry, write_nbest
from pipelines.config import Config, TranslateConfig
from pipelines.data.dataset import ParallelDataset
from pipelines.errors import S2SError
from pipelines.metrics.perplexity import perplexity
from pipelines.progress import SILENT, Progress
from pipelines.project.stages import new_manifest
from pipelines.search.forced_decoding import ForcedDecoder, ForcedTargets
from pipelines.search.loading import LoadedEnsemble, load_ensemble
from pipelines.search.translator import Translation, Translator
from pipelines.wording import plural

log = logging.getLogger(__name__)

_MOST = 0.5
"""Share of a stream that has to be wrong for the model not to fit the input."""


class LineTranslator(Protocol):
    """What `translate_stream` needs of a translator."""

    config: TranslateConfig

    def translate(self, lines: Sequence[str]) -> list[Translation]:
        """Translate lines, in order."""


def run(config: Config, layout: Layout, *, progress: Progress = SILENT) -> Manifest:
    """Translate the split of `layout` with the best checkpoint.

    Raises:
        ArtifactError: No sound checkpoint is there.
        CorpusError: The source cannot be read.
    """
    loaded = load_ensemble([layout.train], config.translate)
    translator = Translator(loaded, config.translate)
    (checkpoint,) = loaded.names
    log.info("translating with %s, %s", checkpoint, translator.settings)
    sources = [source for source, _ in config.data.splits()[layout.split]]
    raw = list(lines_of(layout.root, sources))
    started = time.perf_counter()
    stream = translate_stream(
        _windows(raw, translator.window), translator, progress=progress, total=len(raw)
    )
    found = [translation for window in stream for translation in window]
    elapsed_s = time.perf_counter() - started
    counts = {
        "lines": len(found),
        "blank": sum(not t.candidates for t in found),
        "truncated": sum(t.truncated for t in found),
        "checkpoint": checkpoint,
        "perplexity": _perplexity(loaded, layout),
        "seconds": round(elapsed_s, 1),
    }
    with staged(layout.translate) as folder:
        for name, lines in (
            (OUTPUT, [t.text for t in found]),
            (TOKENS, [t.tokens for t in found]),
        ):
            text = "".join(f"{line}\n" for line in lines)
            (folder / name).write_bytes(text.encode())
        with (folder / NBEST).open("w", encoding="utf-8", newline="\n") as file:
            for number, translation in enumerate(found):
                write_nbest(file, entries(number, translation))
        manifest = new_manifest(
            "translate", config, layout, counts, arithmetic=loaded.arithmetic
        )
        written = write_manifest(folder, manifest)
    log.info(
        "translated %s in %.1f s (%.0f lines/s)",
        plural(len(found), "line"),
        elapsed_s,
        len(found) / max(elapsed_s, 1e-9),
    )
    return written


def translate_stream(
    windows: Iterable[Sequence[bytes]],
    translator: LineTranslator,
    *,
    first: int = 0,
    progress: Progress = SILENT,
    total: int | None = None,
) -> Iterator[list[Translation]]:
    """Translate lines as they come.

    Args:
        windows: Raw lines without their ends, as many at a time as are at hand.
        translator: Does the work.
        first: Lines before the first of these, for messages.
        progress: Where to show.
        total: Number of lines, where it is known.

    Yields:
        For each window one translation for each line, in order. Bytes that are not
        UTF-8 become U+FFFD. At the end the log reports these lines and those that were
        cut, and warns where most translations are empty or most tokens unknown.

    Raises:
        S2SError: The number of translations is not the number of lines.
    """
    lines_in = lines_out = first
    findings = _Findings()
    with progress.task("translate", total=total) as task:
        for window in windows:
            lines: list[str] = []
            for raw in window:
                lines_in += 1
                try:
                    lines.append(raw.decode())
                except UnicodeDecodeError:
                    findings.not_utf8.append(lines_in)
                    lines.append(raw.decode(errors="replace"))
            translations = translator.translate(lines)
            for number, translation in enumerate(translations, start=lines_out + 1):
                findings.add(number, translation)
            lines_out += len(translations)
            if lines_in != lines_out:
                raise S2SError(
                    f"{plural(lines_in, 'line')} in, {plural(lines_out, 'line')} out"
                )
            yield translations
            task.advance(len(window))
    findings.warn(translator.config.max_source_length)


@dataclass(slots=True)
class _Findings:
    """What a user should know of a stream once it has ended."""

    not_utf8: list[int] = field(default_factory=list)
    """Line numbers, from 1."""
    truncated: list[int] = field(default_factory=list)
    num_translated: int = 0
    """Lines that are not blank."""
    num_empty: int = 0
    """Number of these lines whose translation is empty."""
    first_empty: int = 0
    num_tokens: int = 0
    num_unknown: int = 0

    def add(self, number: int, translation: Translation) -> None:
        if translation.truncated:
            self.truncated.append(number)
        if not translation.candidates:
            return
        self.num_translated += 1
        self.num_tokens += translation.num_tokens
        self.num_unknown += translation.num_unknown
        if not translation.text:
            self.num_empty += 1
            self.first_empty = self.first_empty or number

    def warn(self, limit: int) -> None:
        warn_of_lines(log, self.not_utf8, "not UTF-8; the bad bytes were replaced")
        warn_of_lines(
            log,
            self.truncated,
            f"longer than {limit} tokens; cut (translate.max_source_length)",
        )
        if self.num_empty > _MOST * self.num_translated:
            log.warning(
                "%d of %s %s empty, the first that of line %d: the model is trained "
                "too little, or the input is of another language or tokenization than "
                "the text it was trained on",
                self.num_empty,
                plural(self.num_translated, "translation"),
                "is" if self.num_empty == 1 else "are",
                self.first_empty,
            )
        if self.num_unknown > _MOST * self.num_tokens:
            log.warning(
                "%.0f %% of the input's tokens are not in the model's source "
                "vocabulary: check that its language, casing and tokenization are "
                "those of the text the model was trained on",
                100 * self.num_unknown / self.num_tokens,
            )


def task_identity(translator: Translator, sources: Sequence[Path], form: str) -> str:
    """Hash of all that decides the translation of files, and how it is written."""
    settings = translator.config.fingerprinted()
    hashes = [sha256_file(source) for source in sources]
    content = [translator.loaded.identity, settings, *hashes, form]
    return sha256_bytes(json.dumps(content, sort_keys=True).encode())


def entries(number: int, translation: Translation) -> list[NbestEntry]:
    """The n-best entries of line `number` (from 0)."""
    return [
        NbestEntry(
            number,
            candidate.tokens,
            {LSTM: (candidate.log_prob,)},
            candidate.score,
        )
        for candidate in translation.candidates
    ]


def _perplexity(loaded: LoadedEnsemble, layout: Layout) -> float:
    """Perplexity of the references, by forced decoding; of the pairs that were kept."""
    dataset = ParallelDataset.open(layout.binarize, layout.split)
    pairs = [dataset.pair(number) for number in range(len(dataset))]
    scores = ForcedDecoder(loaded).score(
        [ForcedTargets(src, [tgt[:-1].tolist()]) for src, tgt in pairs]
    )
    num_tokens = sum(len(tgt) for _, tgt in pairs)
    log_prob = sum(sum(score[0]) for score in scores)
    return perplexity(log_prob, num_tokens)


def _windows(lines: Sequence[bytes], size: int) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(lines), size):
        yield lines[start : start + size]

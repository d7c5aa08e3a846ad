"""Scores of given translations: forced decoding of pairs of lines."""

import json
import logging
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice, zip_longest
from pathlib import Path
from typing import TextIO

from pipelines.artifacts.corpus import decode_line, warn_of_lines
from pipelines.artifacts.inputs import input_lines, input_name
from pipelines.artifacts.vocab import UNK
from pipelines.config import TranslateConfig
from pipelines.errors import CorpusError
from pipelines.metrics.perplexity import perplexity
from pipelines.progress import SILENT, Progress
from pipelines.search.forced_decoding import ForcedDecoder, ForcedTargets
from pipelines.search.loading import LoadedEnsemble
from pipelines.wording import plural

log = logging.getLogger(__name__)

_CHUNK_SIZE = 2048
"""Pairs that are scored together."""


@dataclass(frozen=True, slots=True)
class PairScore:
    """Score of a given translation, or of several together."""

    log_prob: float = 0.0
    """Natural logarithm, EOS included."""
    num_tokens: int = 0
    """EOS included."""
    num_unknown: int = 0
    """Tokens that the target vocabulary lacks; they are scored as `<unk>`."""
    num_pairs: int = 1

    def __add__(self, other: "PairScore") -> "PairScore":
        """Add the scores of other translations."""
        return PairScore(
            self.log_prob + other.log_prob,
            self.num_tokens + other.num_tokens,
            self.num_unknown + other.num_unknown,
            self.num_pairs + other.num_pairs,
        )

    @property
    def perplexity(self) -> float:
        """Perplexity of the translations, EOS included."""
        return perplexity(self.log_prob, self.num_tokens)

    def describe(self) -> str:
        """Describe the sums in one line."""
        return (
            f"{plural(self.num_pairs, 'pair')}, {plural(self.num_tokens, 'token')} "
            f"({self.num_unknown:,} unknown): log-probability {self.log_prob:.4f}, "
            f"perplexity {self.perplexity:.4f}"
        )


_NO_PAIRS = PairScore(num_pairs=0)


def write_tsv(scores: Iterable[PairScore], output: TextIO) -> PairScore:
    """Write log-probability and number of tokens of each pair.

    Returns:
        The sums over all pairs.
    """
    total = _NO_PAIRS
    for score in scores:
        total += score
        output.write(f"{score.log_prob:.6f}\t{score.num_tokens}\n")
    return total


def write_json_lines(scores: Iterable[PairScore], output: TextIO) -> None:
    """Write a JSON object for each pair, and one with the sums over all pairs."""
    total = _NO_PAIRS
    for number, score in enumerate(scores, start=1):
        total += score
        content = asdict(score)
        del content["num_pairs"]
        output.write(json.dumps({"line": number, **content}) + "\n")
    summary = {**asdict(total), "perplexity": total.perplexity}
    output.write(json.dumps({"total": summary}) + "\n")


def score_pairs(
    source: Path,
    target: Path,
    loaded: LoadedEnsemble,
    config: TranslateConfig,
    *,
    progress: Progress = SILENT,
) -> Iterator[PairScore]:
    """Score given translations by forced decoding.

    A blank source or translation is scored as an empty sequence.

    Args:
        source: Raw lines; plain, `.gz` or `.zst`, or `-` for standard input.
        target: A translation of each source line.
        loaded: One model or an ensemble.
        config: Sources longer than its `max_source_length` are cut, with a warning.
        progress: Shows progress.

    Yields:
        The score of each pair, in order.

    Raises:
        CorpusError: A file cannot be read, a line is not UTF-8, or the numbers of lines
            differ.
    """
    decoder, pipeline = ForcedDecoder(loaded), loaded.pipeline
    pairs = _read_pairs(source, target)
    cut: list[int] = []
    number, limit = 0, config.max_source_length
    with progress.task("score", unit="pairs") as task:
        while chunk := list(islice(pairs, _CHUNK_SIZE)):
            sentences: list[ForcedTargets] = []
            for src, tgt in chunk:
                number += 1
                ids, too_long = pipeline.source_ids_within(src, limit)
                cut += [number] * too_long
                sentences.append(ForcedTargets(ids, [pipeline.target_ids(tgt)]))
            scores = decoder.score(sentences)
            for sentence, (log_probs,) in zip(sentences, scores, strict=True):
                yield PairScore(
                    log_prob=sum(log_probs),
                    num_tokens=len(log_probs),
                    num_unknown=sentence.targets[0].count(UNK),
                )
            task.advance(len(chunk))
    warn_of_lines(log, cut, f"longer than {limit} tokens; cut")


def _read_pairs(source: Path, target: Path) -> Iterator[tuple[str, str]]:
    names = input_name(source), input_name(target)
    lines = zip_longest(input_lines(source), input_lines(target))
    for number, raw in enumerate(lines, start=1):
        for line, name, other in zip(raw, names, names[::-1], strict=True):
            if line is None:
                raise CorpusError(
                    f"{name} has {plural(number - 1, 'line')}, {other} has more",
                    hint="line n of the target is scored as a translation of line n "
                    "of the source",
                )
        src, tgt = (
            decode_line(line, name, number)
            for line, name in zip(raw, names, strict=True)
        )
        yield src, tgt

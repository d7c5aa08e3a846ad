"""Someone else's n-best list, scored anew with our models.

    list + raw source -> the list with a feature LSTM=, in a new order

The new score is a weighted mean of the old one and the model's natural log-probability,
which may be divided by its length.
A list is read a few sentences at a time and may be larger than memory.
"""

import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from pipelines.artifacts.corpus import warn_of_lines
from pipelines.artifacts.inputs import (
    STANDARD_STREAM,
    decoded_input,
    input_name,
)
from pipelines.artifacts.nbest import LSTM, NbestEntry, read_nbest
from pipelines.artifacts.vocab import UNK, replace_specials
from pipelines.errors import CorpusError, DivergenceError, UsageError
from pipelines.metrics.references import Reference, read_references
from pipelines.progress import SILENT, Progress
from pipelines.search.forced_decoding import ForcedTargets
from pipelines.search.settings import LengthPenalty, norm
from pipelines.text.normalise import split_spaces
from pipelines.text.pipeline import TextPipeline
from pipelines.wording import plural

log = logging.getLogger(__name__)

_WINDOW = 2000
"""Hypotheses that are worth scoring together."""
_MANY_UNKNOWN = 0.2

Group = tuple[int, list[NbestEntry]]
"""A sentence's number, from 0, and its entries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RescoreSettings:
    """How to score anew.

    Raises:
        UsageError: The weight is not within 0 and 1.
    """

    weight: float = 0.5
    """Of the model: 0 leaves the old score, 1 takes the model's. The paper's is 0.5."""
    length_penalty: LengthPenalty = 0.0
    """Divides the log-probability as in a search; 0, as in the paper, by nothing."""
    tokenize: bool = False
    """The list's tokens are words which the model's own tokenizer is to cut."""
    max_source_length: int = 1000
    """Longer source sentences are cut to so many tokens, with a warning."""

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1:
            raise UsageError(f"weight {self.weight}, expected a number from 0 to 1")


@dataclass(frozen=True, slots=True)
class Rescored:
    """The hypotheses of one source line."""

    original: tuple[NbestEntry, ...]
    """As the list has them; empty where it has none."""
    entries: tuple[NbestEntry, ...]
    """With the new feature and score, the best first; equal ones in the old order."""

    @property
    def tokens(self) -> str:
        """The best hypothesis's tokens, separated by blanks."""
        return " ".join(self.entries[0].tokens) if self.entries else ""


_NOTHING = Rescored((), ())


class CandidateScorer(Protocol):
    """What rescoring needs of `pipelines.search.forced_decoding.ForcedDecoder`."""

    def score(self, sentences: Sequence[ForcedTargets]) -> list[list[list[float]]]:
        """Log-probability of each token, EOS included, of each translation."""


class Rescorer:
    """Scores the hypotheses of some sentences.

    Args:
        scorer: One model or an ensemble.
        pipeline: Its text rules.
        settings: How to score.

    Attributes:
        num_tokens: Read in hypotheses so far.
        num_unknown: Of these, tokens that the vocabulary lacks.
        truncated: Numbers, from 1, of source lines that were cut.
    """

    def __init__(
        self,
        scorer: CandidateScorer,
        pipeline: TextPipeline,
        settings: RescoreSettings,
    ) -> None:
        self.settings = settings
        self.num_tokens = self.num_unknown = 0
        self.truncated: list[int] = []
        self._scorer = scorer
        self._pipeline = pipeline

    def rescore(
        self, window: Sequence[Group], source: Sequence[str]
    ) -> Iterator[Rescored]:
        """Score sentences together.

        Args:
            window: The sentences.
            source: All source lines.

        Raises:
            DivergenceError: The model gives no number.
        """
        found = self._scorer.score(
            [
                ForcedTargets(
                    self._source_ids(source[number], number + 1),
                    [self._target_ids(entry) for entry in entries],
                )
                for number, entries in window
            ]
        )
        for (number, entries), scores in zip(window, found, strict=True):
            new = [*map(self._mixed, entries, scores)]
            if not all(math.isfinite(entry.features[LSTM][0]) for entry in new):
                raise DivergenceError(
                    f"the model's score of sentence {number} is not a finite number"
                )
            best_first = sorted(new, key=lambda entry: -entry.score)
            yield Rescored(tuple(entries), tuple(best_first))

    def _mixed(self, entry: NbestEntry, token_log_probs: list[float]) -> NbestEntry:
        """Source: Sutskever et al. 2014, section 3.2 (the even mean)."""
        weight, log_prob = self.settings.weight, sum(token_log_probs)
        own = log_prob / norm(len(token_log_probs), self.settings.length_penalty)
        return replace(
            entry,
            features={**entry.features, LSTM: (log_prob,)},
            score=(1 - weight) * entry.score + weight * own,
        )

    def _source_ids(self, line: str, number: int) -> list[int]:
        limit = self.settings.max_source_length
        ids, too_long = self._pipeline.source_ids_within(line, limit)
        self.truncated += [number] * too_long
        return ids

    def _target_ids(self, entry: NbestEntry) -> list[int]:
        pipeline, text = self._pipeline, " ".join(entry.tokens)
        if self.settings.tokenize:
            ids = pipeline.target_ids(text)[:-1]
        else:
            tokens, _ = replace_specials(split_spaces(pipeline.normalise(text)[0]))
            ids = pipeline.target_vocab.ids(tokens)
        self.num_tokens += len(ids)
        self.num_unknown += ids.count(UNK)
        return ids


def rescore_list(
    nbest: Path,
    source: Sequence[str],
    rescorer: Rescorer,
    *,
    progress: Progress = SILENT,
) -> Iterator[Rescored]:
    """Score a list anew.

    Args:
        nbest: In Moses' format; plain, `.gz` or `.zst`, or `-` for standard input.
        source: Raw lines, one for each sentence's number.
        rescorer: Does the work.
        progress: Where to show.

    Yields:
        As `rescore_groups`.

    Raises:
        CorpusError: The list cannot be read, a line of it is malformed, or it has a
            sentence that the source lacks.
    """
    groups = _known(read_nbest(nbest), nbest, len(source))
    return rescore_groups(groups, source, rescorer, progress=progress)


def rescore_groups(
    groups: Iterable[Group],
    source: Sequence[str],
    rescorer: Rescorer,
    *,
    progress: Progress = SILENT,
) -> Iterator[Rescored]:
    """Score sentences as they come, some thousands of hypotheses at a time.

    Args:
        groups: Rising numbers, none beyond the source.
        source: Raw lines.
        rescorer: Does the work.
        progress: Where to show.

    Yields:
        One for each source line, in order, without entries where the list has none;
        these and cut source lines are told at the end, and many unknown tokens.
    """
    missing: list[int] = []
    done = 0
    with progress.task("rescore", total=len(source), unit="sentences") as task:
        for window in _windows(groups):
            results = rescorer.rescore(window, source)
            for (number, _), found in zip(window, results, strict=True):
                missing += range(done + 1, number + 1)
                yield from [_NOTHING] * (number - done)
                yield found
                task.advance(number + 1 - done)
                done = number + 1
        missing += range(done + 1, len(source) + 1)
        yield from [_NOTHING] * (len(source) - done)
        task.advance(len(source) - done)
    _tell(rescorer, missing)


def check_list(nbest: Path, num_lines: int, *, progress: Progress = SILENT) -> None:
    """Read a list to its end, so that what is wrong is found before the long work.

    A pipe and standard input can be read only once and are left alone.

    Args:
        nbest: The list.
        num_lines: Of the source.
        progress: Where to show.

    Raises:
        CorpusError: As `rescore_list`.
    """
    if nbest == STANDARD_STREAM or not nbest.is_file():
        return
    with progress.task("check the list", total=num_lines, unit="sentences") as task:
        for _ in _known(read_nbest(nbest), nbest, num_lines):
            task.advance()


def read_source(
    path: Path, references: Sequence[Path]
) -> tuple[list[str], list[Reference]]:
    """Read the source of a list and its references, where there are some.

    Returns:
        The lines of the source and of each reference, as `read_references` returns.

    Raises:
        CorpusError: A file cannot be read, or the numbers of lines differ.
    """
    source, refs = list(decoded_input(path)), read_references(references)
    for reference, ref in zip(references, refs, strict=True):
        if len(source) != len(ref):
            raise CorpusError(
                f"{input_name(path)} has {plural(len(source), 'line')}, "
                f"{input_name(reference)} has {len(ref):,}",
                hint="line n of the reference must translate line n of the source",
            )
    return source, refs


def _known(groups: Iterable[Group], path: Path, num_lines: int) -> Iterator[Group]:
    for number, entries in groups:
        if number >= num_lines:
            raise CorpusError(
                f"{input_name(path)}: sentence {number}, but the source has "
                f"{plural(num_lines, 'line')}",
                hint="ids count from 0: sentence n translates line n + 1",
            )
        yield number, entries


def _windows(groups: Iterable[Group]) -> Iterator[list[Group]]:
    """Sentences until there are enough hypotheses; nothing is read ahead."""
    window: list[Group] = []
    num_hypotheses = 0
    for group in groups:
        window.append(group)
        num_hypotheses += len(group[1])
        if num_hypotheses >= _WINDOW:
            yield window
            window, num_hypotheses = [], 0
    if window:
        yield window


def _tell(rescorer: Rescorer, missing: Sequence[int]) -> None:
    warn_of_lines(log, missing, "of the source missing from the list")
    limit = rescorer.settings.max_source_length
    warn_of_lines(
        log, rescorer.truncated, f"of the source longer than {limit} tokens; cut"
    )
    share = rescorer.num_unknown / max(1, rescorer.num_tokens)
    if share > _MANY_UNKNOWN:
        log.warning(
            "%.0f %% of the list's tokens are not in the model's vocabulary%s",
            100 * share,
            "" if rescorer.settings.tokenize else "; --tokenize cuts them as it does",
        )

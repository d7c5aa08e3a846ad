"""Tokenize and filter one part of a corpus, and count what was kept and dropped.

Reads and writes no files; the stage does.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.artifacts.corpora import RawPart
from pipelines.artifacts.corpus import decode_line
from pipelines.config import PreprocessConfig
from pipelines.text.pipeline import TextPipeline
from pipelines.wording import plural

DROP_REASONS = ("blank", "too_long", "ratio")

_MAX_EXAMPLES = 3
_NUM_EOS = 1
_MIN_SHARE = 0.01
"""Share of a split's pairs from which dropped pairs are worth a warning."""


@dataclass(frozen=True, slots=True)
class LengthFilter:
    """Limits on the lengths of a pair's sides."""

    max_length: int
    """Largest number of tokens of a side; 0: no limit."""
    max_ratio: float
    """Largest ratio of the longer side's tokens to the shorter's; 0: no limit."""

    @classmethod
    def from_config(cls, config: PreprocessConfig) -> "LengthFilter":
        """Create the filter that the settings describe."""
        return cls(config.max_length, config.max_ratio)

    def reason_to_drop(self, num_src: int, num_tgt: int) -> str:
        """Check a pair against the limits.

        Args:
            num_src: Number of source tokens, without `</s>`.
            num_tgt: Number of target tokens, without `</s>`.

        Returns:
            One of `DROP_REASONS`; empty for a pair to keep.
        """
        shorter, longer = sorted((num_src, num_tgt))
        if shorter == 0:
            return "blank"
        if self.max_length and longer > self.max_length:
            return "too_long"
        if self.max_ratio and longer > self.max_ratio * shorter:
            return "ratio"
        return ""


@dataclass(slots=True)
class PairStatistics:
    """Counts of a part or of a split."""

    num_parts: int = 0
    num_read: int = 0
    num_kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    """Reason -> number of pairs."""
    num_src_tokens: int = 0
    """Tokens of the kept pairs, without `</s>`."""
    num_tgt_tokens: int = 0
    num_controls: int = 0
    num_specials: int = 0
    examples: list[str] = field(default_factory=list)
    """`file:line` of the first lines with control characters."""

    def merge(self, other: "PairStatistics") -> None:
        """Add the counts of another part."""
        self.num_parts += other.num_parts
        self.num_read += other.num_read
        self.num_kept += other.num_kept
        self.dropped.update(other.dropped)
        self.num_src_tokens += other.num_src_tokens
        self.num_tgt_tokens += other.num_tgt_tokens
        self.num_controls += other.num_controls
        self.num_specials += other.num_specials
        self.examples = [*self.examples, *other.examples][:_MAX_EXAMPLES]

    def describe_dropped(self) -> str:
        """Describe the dropped pairs: `2 blank, 1 ratio`."""
        return ", ".join(
            f"{n:,} {reason}" for reason, n in sorted(self.dropped.items())
        )

    def manifest_counts(self) -> dict[str, Any]:
        """Counts of a split in the manifest."""
        return {
            "parts": self.num_parts,
            "read": self.num_read,
            "kept": self.num_kept,
            "dropped": {reason: self.dropped[reason] for reason in DROP_REASONS},
            "source_tokens": self.num_src_tokens,
            "target_tokens": self.num_tgt_tokens,
            "control_characters": self.num_controls,
            "literal_specials": self.num_specials,
        }


def text_warnings(
    statistics: PairStatistics, settings: PreprocessConfig
) -> Iterator[str]:
    """Describe what a user should know about the text of a split.

    Args:
        statistics: Counts of the split.
        settings: Limits of the filter.

    Yields:
        A sentence for each reason for which over 1 % of the pairs were dropped, for
        control characters and for literal special symbols.
    """
    yield from _dropped_warnings(statistics, settings)
    if statistics.num_controls:
        controls = plural(statistics.num_controls, "control character")
        examples = ", ".join(statistics.examples)
        yield f"{controls} became spaces, the first at {examples}"
    if statistics.num_specials:
        specials = plural(statistics.num_specials, "literal special symbol")
        yield f"{specials} became <unk>"


def _dropped_warnings(
    statistics: PairStatistics, settings: PreprocessConfig
) -> Iterator[str]:
    pairs = plural(statistics.num_read, "pair")
    remedy = "raise it or set 0"
    for reason in DROP_REASONS:
        num_dropped = statistics.dropped[reason]
        if num_dropped <= _MIN_SHARE * statistics.num_read:
            continue
        percentage = 100 * num_dropped / statistics.num_read
        dropped = f"dropped {num_dropped:,} of {pairs} ({percentage:.1f} %)"
        if reason == "too_long":
            yield (
                f"preprocess.max_length = {settings.max_length} {dropped}: "
                f"a side has more tokens; {remedy}"
            )
        elif reason == "ratio":
            yield (
                f"preprocess.max_ratio = {settings.max_ratio} {dropped}: "
                f"one side is over {settings.max_ratio:g} times as long as the other; "
                f"{remedy}"
            )
        else:
            yield f"{dropped}: a side is blank"


@dataclass(frozen=True, slots=True)
class TokenizedPart:
    """Token sequences of one part, each with its final `</s>`."""

    src: list[list[str]]
    tgt: list[list[str]]
    drops: list[tuple[int, str]]
    """Line number in the user's file, from 1, and reason."""
    statistics: PairStatistics


def tokenize_part(
    part: RawPart,
    pipeline: TextPipeline,
    *,
    files: tuple[Path, Path],
    length_filter: LengthFilter | None,
) -> TokenizedPart:
    """Tokenize the pairs of one part, and drop those that the filter refuses.

    Args:
        part: Raw lines.
        pipeline: The text rules.
        files: The user's files, for messages.
        length_filter: None keeps every pair, also blank ones.

    Raises:
        CorpusError: A line is not UTF-8.
    """
    statistics = PairStatistics(num_parts=1, num_read=len(part.src))
    result = TokenizedPart([], [], [], statistics)
    lines = enumerate(zip(part.src, part.tgt, strict=True), start=part.first_line)
    for number, (src_raw, tgt_raw) in lines:
        src = pipeline.tokenize_source(decode_line(src_raw, files[0], number))
        tgt = pipeline.tokenize_target(decode_line(tgt_raw, files[1], number))
        for line, file in zip((src, tgt), files, strict=True):
            if line.num_controls:
                statistics.num_controls += line.num_controls
                if len(statistics.examples) < _MAX_EXAMPLES:
                    statistics.examples.append(f"{file}:{number}")
        num_src = len(src.tokens) - _NUM_EOS
        num_tgt = len(tgt.tokens) - _NUM_EOS
        if length_filter and (reason := length_filter.reason_to_drop(num_src, num_tgt)):
            result.drops.append((number, reason))
            statistics.dropped[reason] += 1
            continue
        result.src.append(src.tokens)
        result.tgt.append(tgt.tokens)
        statistics.num_kept += 1
        statistics.num_src_tokens += num_src
        statistics.num_tgt_tokens += num_tgt
        statistics.num_specials += src.num_specials + tgt.num_specials
    return result


def count_tokens(sequences: Sequence[Sequence[str]]) -> Counter[str]:
    """Count the occurrences of each token, `</s>` included."""
    counts: Counter[str] = Counter()
    for tokens in sequences:
        counts.update(tokens)
    return counts

"""One part of a corpus: raw pairs in, token sequences out, every pair accounted for.

Pure: what comes in as bytes goes out as tokens; the stage reads and writes the files.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.artifacts.corpus import RawPart, decode_line
from pipelines.config import PreprocessConfig
from pipelines.text.pipeline import TextPipeline
from pipelines.wording import plural

DROP_REASONS = ("blank", "too_long", "ratio")

_MAX_EXAMPLES = 3
_NUM_EOS = 1
_NOTABLE_LOSS = 0.01
"""Share of a split's pairs."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which pairs are left out."""

    max_length: int
    """Most tokens on a side; 0 keeps all."""
    max_ratio: float
    """Most times that one side is longer than the other; 0 keeps all."""

    @classmethod
    def from_config(cls, config: PreprocessConfig) -> "Filter":
        """The filter among the settings."""
        return cls(config.max_length, config.max_ratio)

    def reason_to_drop(self, num_src: int, num_tgt: int) -> str:
        """One of `DROP_REASONS`, or nothing.

        Args:
            num_src: Source tokens, without `</s>`.
            num_tgt: Target tokens, without `</s>`.
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
class Tally:
    """The account of a part or of a split; tallies of parts add up."""

    num_parts: int = 0
    num_read: int = 0
    num_kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    """Reason -> pairs."""
    num_src_tokens: int = 0
    """Of the kept pairs, without `</s>`."""
    num_tgt_tokens: int = 0
    num_controls: int = 0
    num_specials: int = 0
    examples: list[str] = field(default_factory=list)
    """`file:line` of the first lines with control characters."""

    def add(self, other: "Tally") -> None:
        """Take another part into the account."""
        self.num_parts += other.num_parts
        self.num_read += other.num_read
        self.num_kept += other.num_kept
        self.dropped.update(other.dropped)
        self.num_src_tokens += other.num_src_tokens
        self.num_tgt_tokens += other.num_tgt_tokens
        self.num_controls += other.num_controls
        self.num_specials += other.num_specials
        free = _MAX_EXAMPLES - len(self.examples)
        self.examples += other.examples[: max(0, free)]

    @property
    def dropped_text(self) -> str:
        """The dropped pairs in words: `2 blank, 1 ratio`."""
        return ", ".join(
            f"{n:,} {reason}" for reason, n in sorted(self.dropped.items())
        )

    def counts(self) -> dict[str, Any]:
        """The account as a manifest has it."""
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


def notable_losses(tally: Tally, settings: PreprocessConfig) -> Iterator[str]:
    """Describe each reason that cost a split more than 1 % of its pairs.

    Args:
        tally: The account of the split.
        settings: What the filter's values are.

    Yields:
        A sentence with the setting that caused the loss, if one did.
    """
    pairs = plural(tally.num_read, "pair")
    remedy = "raise it or set 0"
    for reason in DROP_REASONS:
        number = tally.dropped[reason]
        if number <= _NOTABLE_LOSS * tally.num_read:
            continue
        loss = f"{number:,} of {pairs} ({100 * number / tally.num_read:.1f} %)"
        if reason == "too_long":
            yield (
                f"preprocess.max_length = {settings.max_length} dropped {loss}: "
                f"a side has more tokens; {remedy}"
            )
        elif reason == "ratio":
            yield (
                f"preprocess.max_ratio = {settings.max_ratio} dropped {loss}: "
                f"one side is over {settings.max_ratio:g} times as long as the other; "
                f"{remedy}"
            )
        else:
            yield f"dropped {loss}: a side is blank"


@dataclass(frozen=True, slots=True)
class TokenizedPart:
    """The sequences of one part, each with its final `</s>`."""

    src: list[list[str]]
    tgt: list[list[str]]
    drops: list[tuple[int, str]]
    """Line number in the user's file, from 1, and reason."""
    tally: Tally


def tokenize_part(
    part: RawPart,
    pipeline: TextPipeline,
    *,
    files: tuple[Path, Path],
    keep: Filter | None,
) -> TokenizedPart:
    """Tokenize the pairs of one part.

    Args:
        part: Raw lines.
        pipeline: The text rules.
        files: The user's files, for messages.
        keep: None keeps every pair, blank ones too.

    Raises:
        CorpusError: A line is not UTF-8.
    """
    result = TokenizedPart([], [], [], Tally(num_parts=1, num_read=len(part.src)))
    tally = result.tally
    lines = enumerate(zip(part.src, part.tgt, strict=True), start=part.first_line)
    for number, (src_raw, tgt_raw) in lines:
        src = pipeline.tokenize_source(decode_line(src_raw, files[0], number))
        tgt = pipeline.tokenize_target(decode_line(tgt_raw, files[1], number))
        for found, file in zip((src, tgt), files, strict=True):
            if found.num_controls:
                tally.add(
                    Tally(
                        num_controls=found.num_controls, examples=[f"{file}:{number}"]
                    )
                )
        num_src = len(src.tokens) - _NUM_EOS
        num_tgt = len(tgt.tokens) - _NUM_EOS
        if keep and (reason := keep.reason_to_drop(num_src, num_tgt)):
            result.drops.append((number, reason))
            tally.dropped[reason] += 1
            continue
        result.src.append(src.tokens)
        result.tgt.append(tgt.tokens)
        tally.num_kept += 1
        tally.num_src_tokens += num_src
        tally.num_tgt_tokens += num_tgt
        tally.num_specials += src.num_specials + tgt.num_specials
    return result


def count_tokens(sequences: Sequence[Sequence[str]]) -> Counter[str]:
    """How often each token occurs, `</s>` among them."""
    counts: Counter[str] = Counter()
    for tokens in sequences:
        counts.update(tokens)
    return counts

"""Warn about text that is already tokenized, such as phonemes separated by spaces.

The tokenizer `characters` splits `AH B AW T` into `A H ▁ B ▁ A W ▁ T`, which destroys
the symbols. Such text differs from ordinary text: it has few types, and they are short.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain, islice
from pathlib import Path

from pipelines.artifacts.corpus import decoded_lines
from pipelines.text.normalise import split_spaces
from pipelines.text.pipeline import TextPipeline

log = logging.getLogger(__name__)

_SAMPLE_LINES = 5000
_NUM_SHOWN = 5
_MIN_SYMBOLS = 100
"""Symbols of the sample; fewer prove nothing."""
_MAX_TYPES = 200
"""IPA and its diacritics need fewer; segmented Japanese and Chinese have thousands."""
_FREQUENT, _MIN_FREQUENT_SHARE = 5, 0.98
"""Occurrences of a frequent type, and the share of the text that such types make up in
text of a closed set of symbols. In ordinary text many words are rare."""
_MAX_MEAN_LENGTH = 2.5
"""Characters; ARPAbet with stress marks has 2, words of a small closed set 4 or 5."""
_MIN_MEAN_SYMBOLS = 2.0
"""Symbols of a line; a list of words or names has one."""


def warn_about_pretokenized_text(
    pipeline: TextPipeline, corpora: Sequence[tuple[Path, Path]]
) -> None:
    """Warn about each side whose symbols the tokenizer `characters` would split.

    Args:
        pipeline: The text rules.
        corpora: Source and target files of the training text, in order.
    """
    names = pipeline.source_tokenizer, pipeline.target_tokenizer
    sides = zip(*corpora, strict=True)
    for side, name, files in zip(("source", "target"), names, sides, strict=True):
        if name != "characters":
            continue
        text = chain.from_iterable(map(decoded_lines, files))
        lines = [*islice(text, _SAMPLE_LINES)]
        if is_pretokenized(lines):
            first_line = next(filter(None, map(split_spaces, lines)))
            log.warning(
                "the %s side looks tokenized already (%r): the tokenizer characters "
                "cuts its symbols; preprocess.%s_tokenizer = none keeps them whole",
                side,
                " ".join(first_line[:_NUM_SHOWN]),
                side,
            )


def is_pretokenized(lines: Iterable[str]) -> bool:
    """Check whether spaces separate symbols of a small closed set rather than words."""
    counts: Counter[str] = Counter()
    num_lines = 0
    for line in lines:
        symbols = split_spaces(line)
        counts.update(symbols)
        num_lines += bool(symbols)
    total = counts.total()
    if total < max(_MIN_SYMBOLS, _MIN_MEAN_SYMBOLS * num_lines):
        return False
    num_frequent = sum(count for count in counts.values() if count >= _FREQUENT)
    num_characters = sum(len(symbol) * count for symbol, count in counts.items())
    return (
        len(counts) <= _MAX_TYPES
        and num_frequent >= _MIN_FREQUENT_SHARE * total
        and num_characters <= _MAX_MEAN_LENGTH * total
    )

"""Text that is tokenized already: symbols such as phonemes between single blanks.

The tokenizer `characters` cuts `AH B AW T` into `A H ▁ B ▁ A W ▁ T`: the symbols that
the text is made of are lost. Ordinary text does not look like that: its words are many,
or they are long.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain, islice
from pathlib import Path

from pipelines.artifacts.corpus import decoded_lines
from pipelines.text.normalise import split_blanks
from pipelines.text.pipeline import TextPipeline

log = logging.getLogger(__name__)

_SAMPLE_LINES = 5000
_NUM_SHOWN = 5
_LEAST_SYMBOLS = 100
"""In the sample; fewer prove nothing."""
_MOST_TYPES = 200
"""IPA and its diacritics need fewer; segmented Japanese and Chinese have thousands."""
_OFTEN, _SHARE_OFTEN = 5, 0.98
"""A closed set: nearly all of the text is types seen so often. Words are often rare."""
_MEAN_LENGTH = 2.5
"""Characters; ARPAbet with stress marks has 2, words of a small closed set 4 or 5."""
_MEAN_SYMBOLS = 2.0
"""On a line; a list of words or names has one."""


def warn_of_symbols(
    pipeline: TextPipeline, corpora: Sequence[tuple[Path, Path]]
) -> None:
    """Warn of each side whose blanks separate symbols that `characters` would cut.

    Args:
        pipeline: The text rules.
        corpora: The user's source and target files of the training text, in order.
    """
    names = pipeline.source_tokenizer, pipeline.target_tokenizer
    sides = zip(*corpora, strict=True)
    for side, name, files in zip(("source", "target"), names, sides, strict=True):
        if name != "characters":
            continue
        text = chain.from_iterable(map(decoded_lines, files))
        lines = [*islice(text, _SAMPLE_LINES)]
        if is_tokenized(lines):
            example = " ".join(
                next(filter(None, map(split_blanks, lines)))[:_NUM_SHOWN]
            )
            log.warning(
                "the %s side looks tokenized already (%r): the tokenizer characters "
                "cuts its symbols; preprocess.%s_tokenizer = none keeps them whole",
                side,
                example,
                side,
            )


def is_tokenized(lines: Iterable[str]) -> bool:
    """Whether blanks separate symbols of a small closed set, and not words."""
    counts: Counter[str] = Counter()
    num_lines = 0
    for line in lines:
        symbols = split_blanks(line)
        counts.update(symbols)
        num_lines += bool(symbols)
    total = counts.total()
    if total < max(_LEAST_SYMBOLS, _MEAN_SYMBOLS * num_lines):
        return False
    often = sum(number for number in counts.values() if number >= _OFTEN)
    num_characters = sum(len(symbol) * number for symbol, number in counts.items())
    return (
        len(counts) <= _MOST_TYPES
        and often >= _SHARE_OFTEN * total
        and num_characters <= _MEAN_LENGTH * total
    )

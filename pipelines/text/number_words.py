"""A parallel text that needs no download: number words, English to French.

Cardinals over six orders of magnitude, ordinals and years, by num2words. The kind can
be told from the English alone, so the French is a function of the English. No English
text stands in two splits.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pipelines.errors import ConfigError

Pairs = list[tuple[str, str]]

NUM_TRAIN, NUM_VALID, NUM_TEST = 12_000, 500, 500

_NUM_SMALL = 100  # of each kind below this number: always for training
_NUM_ORDINALS = 2_000
_CARDINALS = (_NUM_SMALL, 1_000_000)
_ORDINALS = (_NUM_SMALL, 100_000)
_YEARS = range(1100, 2100)
_LARGEST_CARD = 1_000_000


def number_pairs(seed: int = 1) -> dict[str, Pairs]:
    """Make the pairs of all splits.

    Args:
        seed: The same seed gives the same pairs.

    Returns:
        `train`, `valid` and `test`: lists of (English, French).

    Raises:
        ConfigError: num2words is not installed.
    """
    words = _Words()
    generator = random.Random(seed)
    small = _unique(
        [(words.cardinal, n) for n in range(_NUM_SMALL)]
        + [(words.ordinal, n) for n in range(1, _NUM_SMALL)],
        known=set(),
    )
    years = [(words.year, n) for n in _YEARS]
    ordinals = [
        (words.ordinal, n)
        for n in _log_uniform(generator, *_ORDINALS, size=_NUM_ORDINALS)
    ]
    num_cardinals = NUM_TRAIN + NUM_VALID + NUM_TEST - len(small) - _NUM_ORDINALS
    cardinals = [
        (words.cardinal, n)
        for n in _log_uniform(generator, *_CARDINALS, size=num_cardinals)
    ]
    pool = _unique(years + ordinals + cardinals, known={en for en, _ in small})
    generator.shuffle(pool)
    held_out = NUM_VALID + NUM_TEST
    train = (small + pool[held_out:])[:NUM_TRAIN]
    generator.shuffle(train)
    return {
        "train": train,
        "valid": pool[:NUM_VALID],
        "test": pool[NUM_VALID:held_out],
    }


def write_number_corpus(folder: Path, seed: int = 1) -> None:
    """Write `train.en`, `train.fr` and so on into a folder.

    Raises:
        ConfigError: num2words is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for split, pairs in number_pairs(seed).items():
        for side, language in enumerate(("en", "fr")):
            text = "".join(f"{pair[side]}\n" for pair in pairs)
            (folder / f"{split}.{language}").write_bytes(text.encode())


class _Words:
    """Number words in both languages."""

    def __init__(self) -> None:
        try:
            from num2words.lang_EN import Num2Word_EN
            from num2words.lang_FR import Num2Word_FR
        except ImportError as error:
            raise ConfigError(
                "the number words need the package num2words",
                hint="pip install 's2s[numbers]'",
            ) from error
        self._english: Any = _without_giants(Num2Word_EN())
        self._french: Any = _without_giants(Num2Word_FR())

    def cardinal(self, number: int) -> tuple[str, str]:
        """One thousand two hundred and five."""
        return (
            _plain(self._english.to_cardinal(number)),
            _plain(self._french.to_cardinal(number)),
        )

    def ordinal(self, number: int) -> tuple[str, str]:
        """One thousand two hundred and fifth."""
        french = _plain(self._french.to_ordinal(number))
        for wrong, right in (("vingtsième", "vingtième"), ("centsième", "centième")):
            french = french.replace(wrong, right)  # num2words keeps the plural's s
        return _plain(self._english.to_ordinal(number)), french

    def year(self, number: int) -> tuple[str, str]:
        """Nineteen eighty-four."""
        return (
            _plain(self._english.to_year(number)),
            _plain(self._french.to_cardinal(number)),
        )


def _without_giants(converter: Any) -> Any:
    """Drop the names of numbers that never come up: most time goes on trying them."""
    for number in [n for n in converter.cards if n > _LARGEST_CARD]:
        del converter.cards[number]
    return converter


def _plain(text: str) -> str:
    return text.replace(",", "")


def _unique(
    entries: Sequence[tuple[Callable[[int], tuple[str, str]], int]], *, known: set[str]
) -> Pairs:
    """The pairs of entries whose English is not known yet."""
    pairs: dict[str, str] = {}
    for words, number in entries:
        english, french = words(number)
        if english not in known:
            pairs.setdefault(english, french)
    return list(pairs.items())


def _log_uniform(
    generator: random.Random, low: int, high: int, *, size: int
) -> Iterator[int]:
    """Different numbers from low to high - 1, evenly spread over the magnitudes."""
    seen: set[int] = set()
    while len(seen) < size:
        number = int(low * (high / low) ** generator.random())
        if number not in seen:
            seen.add(number)
            yield number

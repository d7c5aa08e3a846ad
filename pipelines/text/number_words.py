"""A parallel text that needs no download: number words in two languages.

Cardinals over six orders of magnitude, ordinals and years, by num2words. A form that
one of the languages lacks is left out. The target is a function of the source: where
the source does not show the form, the pair has cardinals. No source text stands in two
splits.
"""

import random
import re
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from pipelines.errors import ConfigError
from pipelines.text.languages import primary_subtag

Pairs = list[tuple[str, str]]
Splits = dict[str, Pairs]
Form = Literal["cardinal", "ordinal", "year"]
Languages = tuple[str, str]
"""Codes of source and target."""

DEFAULT_LANGUAGES: Languages = ("en", "fr")
NUM_TRAIN, NUM_VALID, NUM_TEST = 12_000, 500, 500

_NUM_SMALL = 100  # of each form below this number: always for training
_NUM_ORDINALS = 2_000
_CARDINALS = (_NUM_SMALL, 1_000_000)
_ORDINALS = (_NUM_SMALL, 100_000)
_YEARS = range(1100, 2100)
_LARGEST_CARD = 1_000_000
_MOST_HELD_OUT = 0.05  # of the numbers that are not small, for each other split
_MIN_PAIRS = 500
_CODE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z]{2,4})?")
_OTHER_CODES = {"cs": "cz", "cz": "cs", "kk": "kz", "nb": "no"}
"""Codes of ISO 639 and of earlier num2words -> what num2words calls them."""
_LARGEST_ORDINAL = {"RU": 9_999}
"""num2words declines Russian thousands wrongly from 11,000 on."""
_YEAR_OPTIONS: dict[str, dict[str, Any]] = {"JA": {"era": False}}
"""Japanese years count from 1 in each emperor's era unless this is said."""
_GAPS = (NotImplementedError, LookupError, ArithmeticError, TypeError, ValueError)
"""What num2words raises for numbers that it cannot say."""


def number_pairs(seed: int = 1, *, languages: Languages = DEFAULT_LANGUAGES) -> Splits:
    """Make the pairs of all splits.

    Args:
        seed: The same seed gives the same pairs.
        languages: Codes of source and target.

    Returns:
        `train`, `valid` and `test`: lists of (source, target). There are fewer than
        NUM_TRAIN, NUM_VALID and NUM_TEST where num2words knows fewer numbers.

    Raises:
        ConfigError: num2words is not installed, lacks a language or knows too few
            numbers, or both languages are the same.
    """
    words = _BothWords(languages)
    generator = random.Random(seed)
    small = _unique(
        [words.pair("cardinal", n) for n in range(_NUM_SMALL)]
        + [words.pair("ordinal", n) for n in range(1, _NUM_SMALL)],
        known=set(),
    )
    years = [words.pair("year", n) for n in _YEARS]
    ordinals = [
        words.pair("ordinal", n)
        for n in _log_uniform(generator, *_ORDINALS, size=_NUM_ORDINALS)
    ]
    num_ordinals = _NUM_ORDINALS - ordinals.count(None)
    num_cardinals = NUM_TRAIN + NUM_VALID + NUM_TEST - len(small) - num_ordinals
    cardinals = [
        words.pair("cardinal", n)
        for n in _log_uniform(generator, *_CARDINALS, size=num_cardinals)
    ]
    pool = _unique(years + ordinals + cardinals, known={src for src, _ in small})
    if len(pool) < _MIN_PAIRS:
        raise ConfigError(
            f"num2words can say only {len(pool)} numbers above {_NUM_SMALL} in "
            f"{languages[0]} and {languages[1]}, too few for a text",
            hint="choose another language",
        )
    if all(src == tgt for src, tgt in pool):
        raise _same_language(languages)
    generator.shuffle(pool)
    most = int(_MOST_HELD_OUT * len(pool))
    num_valid, num_test = min(NUM_VALID, most), min(NUM_TEST, most)
    held_out = num_valid + num_test
    train = (small + pool[held_out:])[:NUM_TRAIN]
    generator.shuffle(train)
    return {"train": train, "valid": pool[:num_valid], "test": pool[num_valid:held_out]}


def number_files(splits: Splits, languages: Languages) -> dict[str, bytes]:
    """Give the content of `train.en`, `train.fr` and so on, by their names."""
    return {
        f"{split}.{language}": "".join(f"{pair[side]}\n" for pair in pairs).encode()
        for split, pairs in splits.items()
        for side, language in enumerate(languages)
    }


def share_of_unseen_words(splits: Splits) -> float:
    """Share of the words for validation and testing that training never shows.

    It is the larger share of the two sides. Languages that write a number as one word
    have a new word in nearly every line.
    """
    shares = []
    for side in (0, 1):
        seen = {word for pair in splits["train"] for word in pair[side].split()}
        held_out = [
            word
            for split in ("valid", "test")
            for pair in splits[split]
            for word in pair[side].split()
        ]
        shares.append(sum(word not in seen for word in held_out) / len(held_out))
    return max(shares)


class _BothWords:
    """Number words in two languages."""

    def __init__(self, languages: Languages) -> None:
        self._source, self._target = map(_Words, languages)
        if self._source.name == self._target.name:
            raise _same_language(languages)

    def pair(self, form: Form, number: int) -> tuple[str, str] | None:
        """Say a number in both languages; None where one of them lacks the form."""
        source, target = self._source.say(form, number), self._target.say(form, number)
        cardinals = (
            self._source.say("cardinal", number),
            self._target.say("cardinal", number),
        )
        if form == "ordinal" and (source == cardinals[0] or target == cardinals[1]):
            return None  # what num2words says where it knows no ordinals
        if source == cardinals[0]:
            target = cardinals[1]
        if source is None or target is None:
            return None
        return source, target


def _same_language(languages: Languages) -> ConfigError:
    return ConfigError(
        f"number words from {languages[0]} to {languages[1]}: the same words twice",
        hint="choose two languages: s2s init --recipe numbers -s CODE -t CODE",
    )


class _Words:
    """Number words in one language."""

    def __init__(self, language: str) -> None:
        kind = _converter(language)
        self.name: str = kind.__name__.removeprefix("Num2Word_")
        self._converter: Any = _without_giants(kind())
        self._most = _LARGEST_ORDINAL.get(self.name, _ORDINALS[1])

    def say(self, form: Form, number: int) -> str | None:
        """One thousand two hundred and five; None where num2words cannot say it."""
        if form == "ordinal" and number > self._most:
            return None
        options = _YEAR_OPTIONS.get(self.name, {}) if form == "year" else {}
        function = getattr(self._converter, f"to_{form}", None)
        if function is None:
            return None
        try:
            text = " ".join(function(number, **options).replace(",", "").split())
        except _GAPS:
            return None
        if form == "ordinal" and self.name.startswith("FR"):
            for wrong, right in (
                ("vingtsième", "vingtième"),
                ("centsième", "centième"),
            ):
                text = text.replace(wrong, right)  # num2words keeps the plural's s
        return None if not text or re.search(r"\d", text) else text


def _converter(language: str) -> type:
    """Find the class of num2words for a language code such as `pt` or `pt-BR`."""
    try:
        from num2words import CONVERTER_CLASSES
    except ImportError as error:
        raise ConfigError(
            "the number words need the package num2words",
            hint="pip install 's2s[numbers]'",
        ) from error
    known = {code.lower(): type(found) for code, found in CONVERTER_CLASSES.items()}
    code, main = language.lower().replace("-", "_"), primary_subtag(language)
    names = (code, main, _OTHER_CODES.get(main, ""))
    found = [known[name] for name in names if name in known]
    if not found or not _CODE.fullmatch(language):
        raise ConfigError(
            f"num2words has no number words in {language!r}",
            hint="it has " + " ".join(sorted(CONVERTER_CLASSES)),
        )
    return found[0]


def _without_giants(converter: Any) -> Any:
    """Drop the names of numbers that never come up: most time goes on trying them."""
    cards = getattr(converter, "cards", {})
    for number in [n for n in cards if n > _LARGEST_CARD]:
        del cards[number]
    return converter


def _unique(entries: Iterable[tuple[str, str] | None], *, known: set[str]) -> Pairs:
    """The pairs whose source is not known yet."""
    pairs: dict[str, str] = {}
    for entry in entries:
        if entry is not None and entry[0] not in known:
            pairs.setdefault(*entry)
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

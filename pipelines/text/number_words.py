"""A parallel text that needs no download: number words in two languages.

Cardinals over six orders of magnitude, ordinals and years, by num2words. A form that
one of the languages lacks is left out. The target is a function of the source: where
ordinal or year and cardinal are equal in the source language, the target is the
cardinal. No source text occurs twice, in one split or in two.
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
"""Language codes of source and target."""

DEFAULT_LANGUAGES: Languages = ("en", "fr")
NUM_TRAIN, NUM_VALID, NUM_TEST = 12_000, 500, 500

_NUM_SMALL = 100  # numbers below are always for training
_NUM_ORDINALS = 2_000
_CARDINALS = (_NUM_SMALL, 1_000_000)
_ORDINALS = (_NUM_SMALL, 100_000)
_YEARS = range(1100, 2100)
_LARGEST_CARD = 1_000_000
_MAX_HELD_OUT_SHARE = 0.05  # of the pairs of larger numbers, in `valid` and `test` each
_MIN_PAIRS = 500
_CODE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z]{2,4})?")
_OTHER_CODES = {"cs": "cz", "cz": "cs", "kk": "kz", "nb": "no"}
"""ISO 639 codes, and codes of earlier versions of num2words -> codes of num2words."""
_LARGEST_ORDINAL = {"RU": 9_999}
"""num2words declines Russian thousands wrongly from 11,000 on."""
_YEAR_OPTIONS: dict[str, dict[str, Any]] = {"JA": {"era": False}}
"""num2words counts Japanese years in eras by default."""
_ERRORS = (NotImplementedError, LookupError, ArithmeticError, TypeError, ValueError)
"""Raised by num2words for numbers that it cannot convert."""


def number_pairs(seed: int = 1, *, languages: Languages = DEFAULT_LANGUAGES) -> Splits:
    """Generate the pairs of all splits.

    Args:
        seed: Seed of the random numbers.
        languages: Language codes of source and target.

    Returns:
        `train`, `valid` and `test`: lists of (source, target), of at most NUM_TRAIN,
        NUM_VALID and NUM_TEST pairs; fewer where num2words supports fewer numbers.

    Raises:
        ConfigError: num2words is not installed, lacks a language or supports too few
            numbers, or both languages are the same.
    """
    words = _NumberPairs(languages)
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
            f"num2words converts only {len(pool)} numbers above {_NUM_SMALL} in "
            f"{languages[0]} and {languages[1]}, too few for a text",
            hint="choose another language",
        )
    if all(src == tgt for src, tgt in pool):
        raise _same_language(languages)
    generator.shuffle(pool)
    limit = int(_MAX_HELD_OUT_SHARE * len(pool))
    num_valid, num_test = min(NUM_VALID, limit), min(NUM_TEST, limit)
    num_held_out = num_valid + num_test
    train = (small + pool[num_held_out:])[:NUM_TRAIN]
    generator.shuffle(train)
    valid, test = pool[:num_valid], pool[num_valid:num_held_out]
    return {"train": train, "valid": valid, "test": test}


def number_files(splits: Splits, languages: Languages) -> dict[str, bytes]:
    """Encode the pairs as files: name, such as `train.en`, -> content."""
    return {
        f"{split}.{language}": "".join(f"{pair[side]}\n" for pair in pairs).encode()
        for split, pairs in splits.items()
        for side, language in enumerate(languages)
    }


def share_of_unseen_words(splits: Splits) -> float:
    """Compute the share of validation and test words that are unseen in training.

    Languages that write a number as one word have an unseen word in nearly every line.

    Returns:
        The larger share of the two sides.
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


class _NumberPairs:
    """Number words in two languages."""

    def __init__(self, languages: Languages) -> None:
        self._source, self._target = map(_NumberWords, languages)
        if self._source.name == self._target.name:
            raise _same_language(languages)

    def pair(self, form: Form, number: int) -> tuple[str, str] | None:
        """Convert a number to words; None where one of the languages lacks the form."""
        source, target = (
            self._source.convert(form, number),
            self._target.convert(form, number),
        )
        cardinals = (
            self._source.convert("cardinal", number),
            self._target.convert("cardinal", number),
        )
        if form == "ordinal" and (source == cardinals[0] or target == cardinals[1]):
            return None  # num2words returns cardinals where it has no ordinals
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


class _NumberWords:
    """Number words in one language."""

    def __init__(self, language: str) -> None:
        converter_class = _converter_class(language)
        self.name: str = converter_class.__name__.removeprefix("Num2Word_")
        self._converter: Any = _without_large_cards(converter_class())
        self._largest_ordinal = _LARGEST_ORDINAL.get(self.name, _ORDINALS[1])

    def convert(self, form: Form, number: int) -> str | None:
        """Convert a number to words; None where num2words does not support it."""
        if form == "ordinal" and number > self._largest_ordinal:
            return None
        options = _YEAR_OPTIONS.get(self.name, {}) if form == "year" else {}
        function = getattr(self._converter, f"to_{form}", None)
        if function is None:
            return None
        try:
            text = " ".join(function(number, **options).replace(",", "").split())
        except _ERRORS:
            return None
        if form == "ordinal" and self.name.startswith("FR"):
            for wrong, right in (
                ("vingtsième", "vingtième"),
                ("centsième", "centième"),
            ):
                text = text.replace(wrong, right)  # num2words keeps the plural's s
        return None if not text or re.search(r"\d", text) else text


def _converter_class(language: str) -> type:
    """Look up the class of num2words for a language code such as `pt` or `pt-BR`."""
    try:
        from num2words import CONVERTER_CLASSES
    except ImportError as error:
        raise ConfigError(
            "the number words need the package num2words",
            hint="pip install 's2s[numbers]'",
        ) from error
    classes = {code.lower(): type(c) for code, c in CONVERTER_CLASSES.items()}
    code, main = language.lower().replace("-", "_"), primary_subtag(language)
    codes = [c for c in (code, main, _OTHER_CODES.get(main, "")) if c in classes]
    if not codes or not _CODE.fullmatch(language):
        raise ConfigError(
            f"num2words has no number words in {language!r}",
            hint="it has " + " ".join(sorted(CONVERTER_CLASSES)),
        )
    return classes[codes[0]]


def _without_large_cards(converter: Any) -> Any:
    """Remove words for numbers that are never used: num2words tries each in turn."""
    cards = getattr(converter, "cards", {})
    for number in [n for n in cards if n > _LARGEST_CARD]:
        del cards[number]
    return converter


def _unique(entries: Iterable[tuple[str, str] | None], *, known: set[str]) -> Pairs:
    """Keep the first pair of each source text that is not `known`."""
    pairs: dict[str, str] = {}
    for entry in entries:
        if entry is not None and entry[0] not in known:
            pairs.setdefault(*entry)
    return list(pairs.items())


def _log_uniform(
    generator: random.Random, low: int, high: int, *, size: int
) -> Iterator[int]:
    """Draw distinct integers from low to high - 1, log-uniformly."""
    seen: set[int] = set()
    while len(seen) < size:
        number = int(low * (high / low) ** generator.random())
        if number not in seen:
            seen.add(number)
            yield number

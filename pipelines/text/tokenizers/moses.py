"""The tokenizer `moses`: the rules of the Moses scripts, by sacremoses.

XML characters are not escaped and hyphens are not split. U+00A0, U+202F and other
Unicode spaces separate tokens and become plain spaces when detokenized.

sacremoses is slow, so private attributes of its tokenizer are replaced by faster ones
with the same output; a test fails when a new release changes these attributes.
"""

import logging
from collections.abc import Sequence
from functools import cache
from typing import Any

from pipelines.text.languages import primary_subtag

_log = logging.getLogger(__name__)

_WITHOUT_PREFIXES = ("ja", "ko")
"""Languages with tokenization rules but without a list of abbreviations."""
REQUIRED_CHARACTERS = {
    "COMMA_SEPARATE_1": ",",
    "COMMA_SEPARATE_2": ",",
    "COMMA_SEPARATE_3": ",",
    "ENGLISH_SPECIFIC_APOSTROPHE": "'",
    "FR_IT_SPECIFIC_APOSTROPHE": "'",
    "NON_SPECIFIC_APOSTROPHE": "'",
    "TRAILING_DOT_APOSTROPHE": "'",
}
"""Attribute of sacremoses' tokenizer -> the character without which its patterns never
match."""


class MosesTokenizer:
    """Moses tokenization and detokenization of one language.

    Args:
        language: A language code of sacremoses.
    """

    def __init__(self, language: str) -> None:
        import sacremoses

        self._tokenizer: Any = sacremoses.MosesTokenizer(language)
        self._detokenizer: Any = sacremoses.MosesDetokenizer(language)
        _accelerate(self._tokenizer)

    def tokenize(self, line: str) -> list[str]:
        """Split a line into words and punctuation marks."""
        tokens: list[str] = self._tokenizer.tokenize(line, escape=False)
        return tokens

    def detokenize(self, tokens: Sequence[str]) -> str:
        """Join tokens into ordinary text."""
        text: str = self._detokenizer.detokenize(list(tokens), unescape=False)
        return text


@cache
def moses_tokenizer(language: str) -> MosesTokenizer:
    """Get the tokenizer of a language code such as `fr` or `fr-CA`.

    Built once in each process. Languages unknown to Moses use the English rules, with a
    warning.
    """
    if _moses_code(language) is None:
        _log.warning("Moses has no rules for %r: using its English ones", language)
    return word_tokenizer(language)


@cache
def word_tokenizer(language: str) -> MosesTokenizer:
    """Get the same tokenizer as `moses_tokenizer` does, without the warning."""
    return MosesTokenizer(_moses_code(language) or "en")


def _moses_code(language: str) -> str | None:
    from sacremoses.corpus import NonbreakingPrefixes

    code = primary_subtag(language)
    if code in _WITHOUT_PREFIXES:
        return code
    languages: dict[str, str] = NonbreakingPrefixes().available_langs
    return languages.get(code)


class _GuardedPattern:
    """A pattern that is searched only in text with the character it requires."""

    def __init__(self, pattern: Any, character: str) -> None:
        self._pattern, self._character = pattern, character

    def sub(self, replacement: str, text: str) -> str:
        if self._character not in text:
            return text
        result: str = self._pattern.sub(replacement, text)
        return result


def _accelerate(moses: Any) -> None:
    """Replace attributes of a `sacremoses.MosesTokenizer` without changing its output.

    sacremoses builds sets of thousands of letters for each abbreviation, and searches
    every line with patterns that require a comma, an apostrophe or a full stop.
    """
    alpha, lower = frozenset(moses.IsAlpha), frozenset(moses.IsLower)
    moses.isanyalpha = lambda text: not alpha.isdisjoint(text)
    moses.islower = lower.issuperset
    moses.NONBREAKING_PREFIXES = frozenset(moses.NONBREAKING_PREFIXES)
    moses.NUMERIC_ONLY_PREFIXES = frozenset(moses.NUMERIC_ONLY_PREFIXES)
    for name, character in REQUIRED_CHARACTERS.items():
        rules = getattr(moses, name)
        if isinstance(rules, list):
            guarded: Any = [(_GuardedPattern(p, character), s) for p, s in rules]
        else:
            guarded = (_GuardedPattern(rules[0], character), rules[1])
        setattr(moses, name, guarded)
    handle_prefixes = moses.handles_nonbreaking_prefixes
    moses.handles_nonbreaking_prefixes = lambda text: (
        handle_prefixes(text) if "." in text else " ".join(text.split())
    )

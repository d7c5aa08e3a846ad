"""The tokenizer `moses`: the Moses scripts' rules, by sacremoses.

Nothing is escaped to XML and hyphens are not split. U+00A0, U+202F and other Unicode
blanks separate tokens and come back as plain blanks.
"""

import logging
from collections.abc import Sequence
from functools import cache
from typing import Any

from pipelines.text.languages import primary_subtag

_log = logging.getLogger(__name__)

_BESIDE_PREFIXES = ("ja", "ko")  # rules of their own, but no list of abbreviations


class MosesTokenizer:
    """Moses tokenization and detokenization of one language.

    Args:
        language: A code that sacremoses knows.
    """

    def __init__(self, language: str) -> None:
        import sacremoses

        self._tokenizer: Any = sacremoses.MosesTokenizer(language)
        self._detokenizer: Any = sacremoses.MosesDetokenizer(language)
        _make_fast(self._tokenizer)

    def tokenize(self, line: str) -> list[str]:
        """Words and punctuation marks."""
        tokens: list[str] = self._tokenizer.tokenize(line, escape=False)
        return tokens

    def detokenize(self, tokens: Sequence[str]) -> str:
        """Ordinary text."""
        text: str = self._detokenizer.detokenize(list(tokens), unescape=False)
        return text


@cache
def moses_tokenizer(language: str) -> MosesTokenizer:
    """The tokenizer of a language code such as `fr` or `fr-CA`, built once a process.

    A language that Moses does not know is treated as English, with a warning.
    """
    if _moses_code(language) is None:
        _log.warning("Moses has no rules for %r: using its English ones", language)
    return word_tokenizer(language)


@cache
def word_tokenizer(language: str) -> MosesTokenizer:
    """As `moses_tokenizer`, without its warning: to count words of any language."""
    return MosesTokenizer(_moses_code(language) or "en")


def _moses_code(language: str) -> str | None:
    from sacremoses.corpus import NonbreakingPrefixes

    code = primary_subtag(language)
    if code in _BESIDE_PREFIXES:
        return code
    known: dict[str, str] = NonbreakingPrefixes().available_langs
    return known.get(code)


class _OnlyWith:
    """A pattern that is tried only where the character it needs occurs."""

    def __init__(self, pattern: Any, character: str) -> None:
        self._pattern, self._character = pattern, character

    def sub(self, replacement: str, text: str) -> str:
        if self._character not in text:
            return text
        result: str = self._pattern.sub(replacement, text)
        return result


def _make_fast(moses: Any) -> None:
    """Give sacremoses' object equal but faster parts; the output stays the same.

    It builds sets of thousands of letters for each abbreviation it meets, and most of
    its patterns need a comma, an apostrophe or a full stop that few lines have.
    """
    alpha, lower = frozenset(moses.IsAlpha), frozenset(moses.IsLower)
    moses.isanyalpha = lambda text: not alpha.isdisjoint(text)
    moses.islower = lower.issuperset
    moses.NONBREAKING_PREFIXES = frozenset(moses.NONBREAKING_PREFIXES)
    moses.NUMERIC_ONLY_PREFIXES = frozenset(moses.NUMERIC_ONLY_PREFIXES)
    for name, character in _NEEDS.items():
        value = getattr(moses, name)
        if isinstance(value, list):
            guarded: Any = [(_OnlyWith(p, character), s) for p, s in value]
        else:
            guarded = (_OnlyWith(value[0], character), value[1])
        setattr(moses, name, guarded)
    plain = moses.handles_nonbreaking_prefixes
    moses.handles_nonbreaking_prefixes = lambda text: (
        plain(text) if "." in text else " ".join(text.split())
    )


_NEEDS = {
    "COMMA_SEPARATE_1": ",",
    "COMMA_SEPARATE_2": ",",
    "COMMA_SEPARATE_3": ",",
    "ENGLISH_SPECIFIC_APOSTROPHE": "'",
    "FR_IT_SPECIFIC_APOSTROPHE": "'",
    "NON_SPECIFIC_APOSTROPHE": "'",
    "TRAILING_DOT_APOSTROPHE": "'",
}

"""Translations of lines, and the formats in which they are written.

text     the best translation of each line, detokenized
tokens   the same as tokens, separated by spaces (stage `translate` only)
nbest    Moses n-best list: see `nbest`
json     JSON Lines: number, text and all translations of each line
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from pipelines.artifacts.nbest import LSTM, NbestEntry, format_entry

FormatName = Literal["text", "nbest", "json"]


@dataclass(frozen=True, slots=True)
class Output:
    """One translation of one line."""

    text: str
    """Detokenized."""
    tokens: tuple[str, ...]
    """Without EOS."""
    log_prob: float
    """Natural logarithm, EOS included."""
    score: float
    """The value that ranks outputs, higher is better."""
    token_log_probs: tuple[float, ...]
    """Log-probability of each token, and of EOS if the search took it."""


@dataclass(frozen=True, slots=True)
class Translation:
    """All translations of one line."""

    outputs: tuple[Output, ...]
    """Best first; empty for a blank line."""
    truncated: bool = False
    """The source was longer than `max_source_length` and was cut."""
    num_tokens: int = 0
    """Source tokens, without EOS."""
    num_unknown: int = 0
    """Source tokens that the vocabulary lacks."""

    @property
    def text(self) -> str:
        """The best translation; empty for a blank line."""
        return self.outputs[0].text if self.outputs else ""

    @property
    def tokens(self) -> tuple[str, ...]:
        """Tokens of the best translation; empty for a blank line."""
        return self.outputs[0].tokens if self.outputs else ()


def nbest_entries(number: int, translation: Translation) -> list[NbestEntry]:
    """Convert the translations of line `number` (from 0) to n-best entries."""
    return [
        NbestEntry(number, output.tokens, {LSTM: (output.log_prob,)}, output.score)
        for output in translation.outputs
    ]


def format_text(_number: int, translation: Translation) -> str:
    """Format as detokenized text."""
    return translation.text + "\n"


def format_tokens(_number: int, translation: Translation) -> str:
    """Format as tokens separated by spaces."""
    return " ".join(translation.tokens) + "\n"


def format_nbest(number: int, translation: Translation) -> str:
    """Format as lines of a Moses n-best list."""
    entries = nbest_entries(number, translation)
    return "".join(format_entry(entry) + "\n" for entry in entries)


def format_json(number: int, translation: Translation) -> str:
    """Format as a line of JSON Lines; lines count from 1 there."""
    content = {
        "line": number + 1,
        "text": translation.text,
        "truncated": translation.truncated,
        "candidates": [
            {
                "text": output.text,
                "score": output.score,
                "log_prob": output.log_prob,
                "tokens": output.tokens,
                "token_log_probs": output.token_log_probs,
            }
            for output in translation.outputs
        ],
    }
    return json.dumps(content, ensure_ascii=False) + "\n"


FORMATS: Mapping[FormatName, Callable[[int, Translation], str]] = MappingProxyType(
    {"text": format_text, "nbest": format_nbest, "json": format_json}
)
"""Formatters by name; each takes the number of a line, from 0, and its translation."""

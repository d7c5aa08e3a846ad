"""What every tokenizer can do."""

from collections.abc import Sequence
from typing import Protocol


class Tokenizer(Protocol):
    """Cuts a normalised line into tokens and puts tokens together again.

    A token is never empty and holds neither an ASCII blank nor a line end.
    """

    def tokenize(self, line: str) -> list[str]:
        """The tokens of a line; none for a blank one."""

    def detokenize(self, tokens: Sequence[str]) -> str:
        """The line that tokens stand for."""

"""The tokenizer `characters`: each character is a token."""

from collections.abc import Sequence

from pipelines.text.normalise import split_blanks

BLANK = "\u2581"  # "▁", as SentencePiece writes it
_LITERAL = BLANK * 2


class CharacterTokenizer:
    """Makes each character a token, `▁` a run of blanks, `▁▁` a literal `▁`."""

    def tokenize(self, line: str) -> list[str]:
        """The characters of a line."""
        tokens: list[str] = []
        for word in split_blanks(line):
            if tokens:
                tokens.append(BLANK)
            tokens += [_LITERAL if c == BLANK else c for c in word]
        return tokens

    def detokenize(self, tokens: Sequence[str]) -> str:
        """Characters joined, blanks restored."""
        texts = {BLANK: " ", _LITERAL: BLANK}
        return "".join(texts.get(token, token) for token in tokens)

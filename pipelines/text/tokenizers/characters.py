"""The tokenizer `characters`: each character is a token."""

from collections.abc import Sequence

from pipelines.text.normalise import split_spaces

SPACE_MARK = "\u2581"  # "▁", as SentencePiece writes it
_LITERAL_MARK = SPACE_MARK * 2


class CharacterTokenizer:
    """Splits into characters; `▁` is a run of spaces, `▁▁` a literal `▁`."""

    def tokenize(self, line: str) -> list[str]:
        """Split a line into its characters."""
        tokens: list[str] = []
        for word in split_spaces(line):
            if tokens:
                tokens.append(SPACE_MARK)
            tokens += [_LITERAL_MARK if c == SPACE_MARK else c for c in word]
        return tokens

    def detokenize(self, tokens: Sequence[str]) -> str:
        """Join characters and restore spaces."""
        texts = {SPACE_MARK: " ", _LITERAL_MARK: SPACE_MARK}
        return "".join(texts.get(token, token) for token in tokens)

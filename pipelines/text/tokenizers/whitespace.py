"""The tokenizer `none`: the text is tokenized already, blanks separate the tokens."""

from collections.abc import Sequence

from pipelines.text.normalise import split_blanks


class WhitespaceTokenizer:
    """Splits at runs of ASCII blanks and tabs; U+00A0 and its kin stay in a token."""

    def tokenize(self, line: str) -> list[str]:
        """The words of a line."""
        return split_blanks(line)

    def detokenize(self, tokens: Sequence[str]) -> str:
        """Words with single blanks between them."""
        return " ".join(tokens)

"""The tokenizer `none`: the text is already tokenized, spaces separate the tokens."""

from collections.abc import Sequence

from pipelines.text.normalise import split_spaces


class WhitespaceTokenizer:
    """Splits at runs of ASCII spaces and tabs, not at other Unicode spaces."""

    def tokenize(self, line: str) -> list[str]:
        """Split a line into its tokens."""
        return split_spaces(line)

    def detokenize(self, tokens: Sequence[str]) -> str:
        """Join tokens with single spaces."""
        return " ".join(tokens)

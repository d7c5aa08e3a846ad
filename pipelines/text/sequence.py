"""What a model reads: tokens in reading order, reversed for the source, EOS at the end.

The special symbols are the model's own. Where raw text holds one of them literally it
becomes `<unk>`, so that no line can end a sentence that has not ended.
"""

from collections.abc import Sequence

from pipelines.artifacts.vocab import EOS_TOKEN, SPECIALS, UNK_TOKEN


def replace_specials(tokens: list[str]) -> tuple[list[str], int]:
    """Put `<unk>` in the place of every literal special symbol.

    Returns:
        The tokens, and how many of them were special symbols.
    """
    num_special = sum(token in SPECIALS for token in tokens)
    if num_special == 0:
        return tokens, 0
    return [UNK_TOKEN if t in SPECIALS else t for t in tokens], num_special


def append_eos(tokens: Sequence[str]) -> list[str]:
    """End a sequence."""
    return [*tokens, EOS_TOKEN]


def drop_eos(tokens: Sequence[str]) -> list[str]:
    """The sequence without its end, whether it has one or not."""
    return list(tokens[:-1] if tokens and tokens[-1] == EOS_TOKEN else tokens)


def reverse(tokens: Sequence[str]) -> list[str]:
    """Last word first (section 3.3 of the paper)."""
    return list(tokens[::-1])

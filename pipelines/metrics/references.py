"""References of a translation: one, or several of which a line may lack some."""

from collections.abc import Sequence

Reference = Sequence[str | None]
"""A line for each line of the translation; None where it has no alternative."""


def alternatives(refs: Sequence[Reference]) -> list[list[str]]:
    """The references of each line, those that it lacks left out."""
    return [
        [line for line in lines if line is not None]
        for lines in zip(*refs, strict=True)
    ]


def num_references(lines: Sequence[Sequence[str]]) -> str:
    """The number of references, as a signature gives it: `var` where lines differ.

    Args:
        lines: What `alternatives` returns.
    """
    counts = {len(line) for line in lines}
    return str(counts.pop()) if len(counts) == 1 else "var"

"""References of a translation: one file, or several with alternatives.

Line n of a reference file is a reference of line n of the translation.
"""

from collections.abc import Sequence
from pathlib import Path

from pipelines.artifacts.inputs import decoded_input

Reference = Sequence[str | None]
"""A line for each line of the translation; None where it has no alternative."""


def read_references(paths: Sequence[Path]) -> list[Reference]:
    """Read one reference, or several alternatives.

    Args:
        paths: Files, plain, `.gz` or `.zst`; `-` is standard input.

    Returns:
        The lines of each file; None for a blank line of a second or later file, which
        means that there is no further reference.

    Raises:
        CorpusError: A file cannot be read, or a line is not UTF-8.
    """
    refs: list[Reference] = []
    for path in paths:
        lines = decoded_input(path)
        refs.append([line if line.strip() or not refs else None for line in lines])
    return refs


def alternatives(refs: Sequence[Reference]) -> list[list[str]]:
    """The references of each line, without those that are None."""
    return [
        [line for line in lines if line is not None]
        for lines in zip(*refs, strict=True)
    ]


def num_references(lines: Sequence[Sequence[str]]) -> str:
    """The number of references for a signature; `var` where lines differ in it.

    Args:
        lines: The references of each line, as `alternatives` returns them.
    """
    counts = {len(line) for line in lines}
    return str(counts.pop()) if len(counts) == 1 else "var"

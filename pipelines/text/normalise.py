"""Normalization of a line before tokenization: Unicode form, control characters.

Control characters (C0 with NUL, vertical tab, form feed and carriage return; DEL; C1
with U+0085), the line separators U+2028 and U+2029 and lone surrogates become spaces:
other programs take several of them for line ends. They are counted, so that a stage can
report them. A tab becomes a space without being counted.
"""

import re
import unicodedata
from typing import Literal

Form = Literal["none", "nfc"]

_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_SPACES = re.compile(r"[ \t]+")


def normalise(line: str, form: Form) -> tuple[str, int]:
    """Normalize a line.

    Args:
        line: One line, without its line end.
        form: `nfc` composes characters; `none` keeps them.

    Returns:
        The line, and the number of control characters that became spaces.
    """
    line, num_controls = _CONTROLS.subn(" ", line)
    line = line.replace("\t", " ")
    if form == "nfc":
        line = unicodedata.normalize("NFC", line)
    return line, num_controls


def is_blank(line: str) -> bool:
    """Check whether a raw line has only whitespace and control characters."""
    return not _CONTROLS.sub(" ", line).strip()


def split_spaces(line: str) -> list[str]:
    """Split at runs of ASCII spaces and tabs; other Unicode spaces do not split."""
    return [word for word in _SPACES.split(line) if word]

"""What a line is before it is tokenized: one Unicode form and no control characters.

Control characters (C0 with NUL, vertical tab, form feed and carriage return; DEL; C1
with U+0085), the line separators U+2028 and U+2029 and lone surrogates become blanks:
other programs take several of them for line ends, and no vocabulary wants them. The
number of characters changed so is returned, so that a stage can report it. A tab
becomes a blank without being counted: it separates words as a blank does.
"""

import re
import unicodedata
from typing import Literal

Form = Literal["none", "nfc"]

_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_BLANKS = re.compile(r"[ \t]+")


def normalise(line: str, form: Form) -> tuple[str, int]:
    """Bring a line into its normal form.

    Args:
        line: One line, without its line end.
        form: `nfc` composes characters; `none` leaves them.

    Returns:
        The line, and how many control characters became blanks.
    """
    line, num_controls = _CONTROLS.subn(" ", line)
    line = line.replace("\t", " ")
    if form == "nfc":
        line = unicodedata.normalize("NFC", line)
    return line, num_controls


def is_blank(line: str) -> bool:
    """Whether a raw line holds nothing but blanks and control characters."""
    return not _CONTROLS.sub(" ", line).strip()


def split_blanks(line: str) -> list[str]:
    """Split at runs of ASCII blanks and tabs, and nowhere else."""
    return [word for word in _BLANKS.split(line) if word]

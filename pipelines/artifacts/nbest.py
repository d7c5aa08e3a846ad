"""N-best lists in Moses' format: `id ||| tokens ||| LSTM= -1.2345 ||| -1.2345`.

The id counts sentences from 0; tokens are separated by spaces; features and the last
number, the score that ranks, are natural logarithms. A literal `|||` inside the tokens
is written `&#124;&#124;&#124;` and read back as `|||`.

The reader also accepts Moses' older feature format (`d: 0 -7.6 lm: -1.2`) and keeps
fields after the score (alignments).
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TextIO

from pipelines.artifacts.inputs import decoded_input, input_name
from pipelines.errors import CorpusError

LSTM = "LSTM"
"""Name of the feature that holds our model's log-probability."""

_BAR = "|||"
_ESCAPED_BAR = "&#124;" * 3
_DECIMALS = 6
_NUM_FIELDS = 4


@dataclass(frozen=True, slots=True)
class NbestEntry:
    """One hypothesis of an n-best list."""

    sentence: int
    """Counted from 0."""
    tokens: tuple[str, ...]
    features: Mapping[str, tuple[float, ...]]
    """In the order of the file; a repeated name adds its values."""
    score: float
    extra: tuple[str, ...] = ()
    """Fields after the score, as they are in the file."""


SentenceNbest = tuple[int, list[NbestEntry]]
"""The number of a sentence, from 0, and its entries."""


def format_entry(entry: NbestEntry) -> str:
    """Format an entry as a line without its end; numbers are rounded to 6 decimals."""
    features = " ".join(
        " ".join([f"{name}=", *map(_number, values)])
        for name, values in entry.features.items()
    )
    fields = [
        str(entry.sentence),
        " ".join(entry.tokens).replace(_BAR, _ESCAPED_BAR),
        features,
        _number(entry.score),
        *entry.extra,
    ]
    return f" {_BAR} ".join(fields)


def write_nbest(file: TextIO, entries: Iterable[NbestEntry]) -> None:
    """Write entries in the given order, a line each."""
    file.writelines(format_entry(entry) + "\n" for entry in entries)


def read_nbest(path: Path) -> Iterator[SentenceNbest]:
    """Yield each sentence of a list with its entries, in the order of the file.

    The file may be plain, `.gz` or `.zst`, or `-` for standard input. A sentence
    without entries does not appear.

    Raises:
        CorpusError: The file cannot be read, a line is malformed, or the ids descend;
            the message names file and line.
    """
    for sentence, entries in groupby(_entries(path), key=lambda entry: entry.sentence):
        yield sentence, list(entries)


def parse_entry(line: str, path: Path, number: int) -> NbestEntry:
    """Parse one line.

    Args:
        line: Without its end.
        path: Named in an error message.
        number: Line number, named in an error message.

    Raises:
        CorpusError: The line is malformed; the message names file and line.
    """
    fields = [field.strip(" \t") for field in line.split(_BAR)]
    if len(fields) < _NUM_FIELDS:
        raise _malformed(path, number, "id ||| tokens ||| features ||| score", line)
    sentence, text, features, score = fields[:_NUM_FIELDS]
    if not (sentence.isascii() and sentence.isdigit()):
        raise _malformed(path, number, "a sentence's id, from 0", sentence)
    tokens = tuple(t.replace(_ESCAPED_BAR, _BAR) for t in text.split(" ") if t)
    return NbestEntry(
        int(sentence),
        tokens,
        _features(features, path, number),
        _value(score, path, number),
        tuple(fields[_NUM_FIELDS:]),
    )


def _entries(path: Path) -> Iterator[NbestEntry]:
    last, name = 0, input_name(path)
    for number, line in enumerate(decoded_input(path), start=1):
        entry = parse_entry(line, name, number)
        if entry.sentence < last:
            raise CorpusError(
                f"{name}:{number}: sentence {entry.sentence} after sentence {last}, "
                "expected ids that do not fall",
                hint="sort -s -n -k1,1 keeps the order within a sentence",
            )
        last = entry.sentence
        yield entry


def _features(text: str, path: Path, number: int) -> dict[str, tuple[float, ...]]:
    features: dict[str, tuple[float, ...]] = {}
    name = ""
    for word in text.split():
        if word[-1] in "=:":
            name = word[:-1]
            if not name:
                raise _malformed(path, number, "a feature's name", word)
            features.setdefault(name, ())
        elif name:
            features[name] += (_value(word, path, number),)
        else:
            raise _malformed(path, number, "a feature's name, such as LSTM=", word)
    return features


def _value(text: str, path: Path, number: int) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise _malformed(path, number, "a finite number", text)
    return value


def _number(value: float) -> str:
    return repr(round(value, _DECIMALS) + 0.0)  # + 0.0 turns -0.0 into 0.0


def _malformed(path: Path, number: int, expected: str, actual: str) -> CorpusError:
    return CorpusError(f"{path}:{number}: expected {expected}, found {actual!r}")

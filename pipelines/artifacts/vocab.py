"""The vocabulary: `token<TAB>count` a line, the id is the line's number from 0.

Special symbols first, then by falling count and, at equal counts, by the token's bytes.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.artifacts.corpus import decoded_lines
from pipelines.artifacts.files import sha256_bytes
from pipelines.errors import CorpusError, CorruptArtifactError

PAD, UNK, EOS = 0, 1, 2
PAD_TOKEN, UNK_TOKEN, EOS_TOKEN = "<pad>", "<unk>", "</s>"
SPECIALS = (PAD_TOKEN, UNK_TOKEN, EOS_TOKEN)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Tokens and their ids."""

    tokens: tuple[str, ...]
    counts: tuple[int, ...]
    _ids: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        ids = {token: i for i, token in enumerate(self.tokens)}
        object.__setattr__(self, "_ids", ids)

    def __len__(self) -> int:
        return len(self.tokens)

    def ids(self, tokens: Iterable[str]) -> list[int]:
        """Ids of tokens; unknown ones become UNK."""
        get = self._ids.get
        return [get(token, UNK) for token in tokens]

    def tokens_of(self, ids: Iterable[int]) -> list[str]:
        """Tokens of ids."""
        return [self.tokens[i] for i in ids]

    def to_bytes(self) -> bytes:
        """The file's content."""
        rows = zip(self.tokens, self.counts, strict=True)
        return "".join(f"{token}\t{count}\n" for token, count in rows).encode()

    @property
    def sha256(self) -> str:
        """Hash of the file's content: shards and checkpoints carry it."""
        return sha256_bytes(self.to_bytes())


def build_vocab(
    counts: Counter[str], *, size: int, min_count: int = 1
) -> tuple[Vocabulary, int]:
    """Choose the most frequent tokens.

    Args:
        counts: Of every token of the training text, EOS among them.
        size: Most entries, the special symbols included.
        min_count: Rarer tokens are left out.

    Returns:
        The vocabulary, and how many running tokens it does not cover.

    Raises:
        CorpusError: No token is left beside the special symbols.
    """
    eligible = [
        (token, count)
        for token, count in counts.items()
        if count >= min_count and token not in SPECIALS
    ]
    eligible.sort(key=lambda entry: (-entry[1], entry[0].encode()))
    kept = eligible[: max(0, size - len(SPECIALS))]
    if not kept:
        raise CorpusError(
            f"no token is left for the vocabulary: {len(counts)} types, "
            f"size {size}, min_count {min_count}",
            hint="lower preprocess.min_count or raise the vocabulary size",
        )
    total = sum(count for token, count in counts.items() if token not in SPECIALS)
    num_unknown = total - sum(count for _, count in kept)
    specials = [
        (PAD_TOKEN, 0),
        (UNK_TOKEN, num_unknown + counts.get(UNK_TOKEN, 0)),
        (EOS_TOKEN, counts.get(EOS_TOKEN, 0)),
    ]
    tokens, numbers = zip(*specials, *kept, strict=True)
    return Vocabulary(tuple(tokens), tuple(numbers)), num_unknown


def count_listed(tokens: Sequence[str], counts: Counter[str]) -> Vocabulary:
    """A vocabulary of given tokens, in their order, with counts of the training text.

    Args:
        tokens: Without the special symbols, which come first.
        counts: Of every token of the training text, EOS among them.
    """
    known = {*tokens, EOS_TOKEN}
    num_unknown = sum(n for token, n in counts.items() if token not in known)
    own = [counts[token] for token in tokens]
    return Vocabulary((*SPECIALS, *tokens), (0, num_unknown, counts[EOS_TOKEN], *own))


def read_token_list(path: Path) -> tuple[str, ...]:
    """Read a vocabulary that the user brings: its tokens without the special symbols.

    A line is a token, or `token<TAB>count`; the count is not used. Plain, `.gz` or
    `.zst`. The special symbols may be in it anywhere.

    Raises:
        CorpusError: A line is empty, holds something else or is not UTF-8, a token is
            there twice, or there is none.
    """
    lines: dict[str, int] = {}
    for number, line in enumerate(decoded_lines(path), start=1):
        token = _listed_token(line, f"{path}:{number}")
        if token in lines:
            raise CorpusError(
                f"{path}:{number}: {token!r} is already in line {lines[token]}",
                hint="a vocabulary has each token once",
            )
        lines[token] = number
    tokens = tuple(token for token in lines if token not in SPECIALS)
    if not tokens:
        raise CorpusError(f"{path} has no token beside the special symbols")
    return tokens


def _listed_token(line: str, place: str) -> str:
    token, tab, count = line.partition("\t")
    if not token:
        found = "the line is empty" if not tab else f"no token before {count!r}"
        raise CorpusError(f"{place}: {found}", hint="a vocabulary has a token a line")
    if tab and not (count.isascii() and count.isdigit()):
        raise CorpusError(
            f"{place}: expected a token or token<TAB>count, found {line!r}",
            hint="a SentencePiece .vocab file holds scores; cut -f1 FILE keeps its "
            "tokens",
        )
    if " " in token:
        hint = "expected a token or token<TAB>count; no token holds a blank"
        if token.rpartition(" ")[2].isdigit():
            hint = "a fairseq dictionary has blanks; tr ' ' '\\t' < FILE has tabs"
        raise CorpusError(f"{place}: a blank in {token!r}", hint=hint)
    return token


def write_vocab(path: Path, vocabulary: Vocabulary) -> None:
    """Write a vocabulary."""
    path.write_bytes(vocabulary.to_bytes())


def read_vocab(path: Path) -> Vocabulary:
    """Read a vocabulary.

    Raises:
        CorruptArtifactError: A line is not `token<TAB>count`, or the special symbols
            are not the first entries.
    """
    rows = path.read_bytes().decode("utf-8", "replace").split("\n")[:-1]
    tokens: list[str] = []
    counts: list[int] = []
    for number, row in enumerate(rows, start=1):
        token, tab, count = row.rpartition("\t")
        if not tab or not count.isdigit():
            raise CorruptArtifactError(
                f"{path}:{number}: expected token<TAB>count, found {row!r}",
                hint="a SentencePiece .vocab file holds scores; s2s preprocess "
                "writes the vocabulary that is meant here",
            )
        tokens.append(token)
        counts.append(int(count))
    require_specials(tokens, path)
    return Vocabulary(tuple(tokens), tuple(counts))


def require_specials(tokens: Sequence[str], path: Path) -> None:
    """Check the first entries.

    Raises:
        CorruptArtifactError: They are not the special symbols.
    """
    if tuple(tokens[: len(SPECIALS)]) != SPECIALS:
        raise CorruptArtifactError(
            f"{path} starts with {list(tokens[:3])}, expected {list(SPECIALS)}"
        )

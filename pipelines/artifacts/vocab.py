"""Vocabularies: the special symbols, and the file `token<TAB>count`.

A token's id is its line number, from 0. The special symbols come first, then the other
tokens by decreasing count and, at equal counts, by their bytes.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pipelines.artifacts.corpus import decoded_lines
from pipelines.artifacts.files import sha256_bytes
from pipelines.errors import CorpusError, CorruptArtifactError

PAD, UNK, EOS = 0, 1, 2
PAD_TOKEN, UNK_TOKEN, EOS_TOKEN = "<pad>", "<unk>", "</s>"
SPECIALS = (PAD_TOKEN, UNK_TOKEN, EOS_TOKEN)


@dataclass(frozen=True)
class Vocabulary:
    """Tokens and their ids."""

    tokens: tuple[str, ...]
    counts: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.tokens)

    def ids(self, tokens: Iterable[str]) -> list[int]:
        """Look up the ids of tokens; unknown tokens become UNK."""
        get = self._ids.get
        return [get(token, UNK) for token in tokens]

    def tokens_of(self, ids: Iterable[int]) -> list[str]:
        """Look up the tokens of ids."""
        return [self.tokens[i] for i in ids]

    def to_bytes(self) -> bytes:
        """Content of the vocabulary file."""
        rows = zip(self.tokens, self.counts, strict=True)
        return "".join(f"{token}\t{count}\n" for token, count in rows).encode()

    @cached_property
    def sha256(self) -> str:
        """Hash of the file's content, computed once; shards name it."""
        return sha256_bytes(self.to_bytes())

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {token: i for i, token in enumerate(self.tokens)}


def replace_specials(tokens: list[str]) -> tuple[list[str], int]:
    """Replace every literal special symbol by `<unk>`.

    Otherwise a `</s>` in raw text would end a sentence early.

    Returns:
        The tokens, and the number of special symbols among them.
    """
    num_specials = sum(token in SPECIALS for token in tokens)
    if num_specials == 0:
        return tokens, 0
    return [UNK_TOKEN if t in SPECIALS else t for t in tokens], num_specials


def build_vocab(counts: Counter[str], *, size: int, min_count: int = 1) -> Vocabulary:
    """Build a vocabulary of the most frequent tokens.

    Args:
        counts: Counts of all tokens of the training text, EOS included.
        size: Largest number of entries, special symbols included.
        min_count: Smallest count of an entry.

    Raises:
        CorpusError: No entry is left except the special symbols.
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
    tokens, token_counts = zip(*specials, *kept, strict=True)
    return Vocabulary(tuple(tokens), tuple(token_counts))


def count_listed(tokens: Sequence[str], counts: Counter[str]) -> Vocabulary:
    """Build a vocabulary of given tokens, in their order.

    Args:
        tokens: Tokens without the special symbols, which are put before them.
        counts: Counts of all tokens of the training text, EOS included.
    """
    known = {*tokens, EOS_TOKEN}
    num_unknown = sum(n for token, n in counts.items() if token not in known)
    listed = [counts[token] for token in tokens]
    return Vocabulary(
        (*SPECIALS, *tokens), (0, num_unknown, counts[EOS_TOKEN], *listed)
    )


def read_token_list(path: Path) -> tuple[str, ...]:
    """Read the tokens of a vocabulary file of the user's, without special symbols.

    A line is `token` or `token<TAB>count`; the count is ignored. The file is plain,
    `.gz` or `.zst`. Special symbols are allowed on any line.

    Raises:
        CorpusError: A line is empty, has another form or is not UTF-8, a token occurs
            twice, or there is no token.
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
        raise CorpusError(f"{path} has no token except the special symbols")
    return tokens


def _listed_token(line: str, place: str) -> str:
    token, tab, count = line.partition("\t")
    if not token:
        problem = "the line is empty" if not tab else f"no token before {count!r}"
        raise CorpusError(f"{place}: {problem}", hint="a vocabulary has a token a line")
    if tab and not (count.isascii() and count.isdigit()):
        raise CorpusError(
            f"{place}: expected a token or token<TAB>count, found {line!r}",
            hint="a SentencePiece .vocab file holds scores; cut -f1 FILE keeps its "
            "tokens",
        )
    if " " in token:
        hint = "expected a token or token<TAB>count; no token contains a space"
        if token.rpartition(" ")[2].isdigit():
            hint = "a fairseq dictionary has spaces; tr ' ' '\\t' < FILE has tabs"
        raise CorpusError(f"{place}: a space in {token!r}", hint=hint)
    return token


def write_vocab(path: Path, vocabulary: Vocabulary) -> None:
    """Write a vocabulary file."""
    path.write_bytes(vocabulary.to_bytes())


def read_vocab(path: Path) -> Vocabulary:
    """Read a vocabulary file.

    Raises:
        CorruptArtifactError: A line is not `token<TAB>count`, or the first entries are
            not the special symbols.
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
                "writes the vocabulary that is expected here",
            )
        tokens.append(token)
        counts.append(int(count))
    if tuple(tokens[: len(SPECIALS)]) != SPECIALS:
        raise CorruptArtifactError(
            f"{path} starts with {tokens[:3]}, expected {list(SPECIALS)}"
        )
    return Vocabulary(tuple(tokens), tuple(counts))

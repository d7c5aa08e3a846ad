"""The tokenizer `sentencepiece`: subword pieces of a trained model.

Only the pieces of a model are used: ids come from the project's vocabulary, and so do
the special symbols.
"""

import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from pipelines.artifacts.vocab import EOS, EOS_TOKEN, PAD, PAD_TOKEN, UNK, UNK_TOKEN
from pipelines.errors import ConfigError, CorpusError
from pipelines.text.tokenizers.characters import SPACE_MARK

_MAX_SEGMENT = 4096  # characters; longer lines overflow SentencePiece's offsets
_NO_BOS = -1
_FIRST_BYTE = "<0x00>"
_BYTES = re.compile(r"(?:<0x[0-9A-F]{2}>)+")
_NUM_THREADS = 16  # fixed: the sums of EM steps depend on the number of threads


class SentencePieceTokenizer:
    """Tokenizer of one trained model.

    SentencePiece marks spaces with `▁`, so a literal `▁` in the text becomes a space.

    Args:
        model: Content of the model's file.
    """

    def __init__(self, model: bytes) -> None:
        import sentencepiece

        self._processor: Any = sentencepiece.SentencePieceProcessor(model_proto=model)
        first_byte = self._processor.piece_to_id(_FIRST_BYTE)
        self._has_bytes = bool(self._processor.is_byte(first_byte))

    @property
    def pieces(self) -> list[str]:
        """All pieces, special symbols included."""
        ids = list(range(self._processor.get_piece_size()))
        pieces: list[str] = self._processor.id_to_piece(ids)
        return pieces

    def tokenize(self, line: str) -> list[str]:
        """Split a line into pieces."""
        pieces: list[str] = self._processor.encode(line, out_type=str)
        return pieces

    def detokenize(self, tokens: Sequence[str]) -> str:
        """Join pieces, restore spaces and decode byte pieces such as `<0xC3>`."""
        text = "".join(tokens)
        if self._has_bytes:
            text = _BYTES.sub(_decode_bytes, text)
        return text.replace(SPACE_MARK, " ").strip(" ")


def _decode_bytes(match: re.Match[str]) -> str:
    """Decode `<0xC3><0xA9>` to `é`."""
    digits = match[0].replace("<0x", "").replace(">", "")
    return bytes.fromhex(digits).decode("utf-8", "replace")


def load_sentencepiece(path: Path) -> bytes:
    """Read a trained SentencePiece model and check it.

    Raises:
        CorpusError: It is not a model, or a piece contains whitespace.
    """
    model = path.read_bytes()
    try:
        pieces = SentencePieceTokenizer(model).pieces if model else []
    except RuntimeError:
        pieces = []
    if not pieces:
        raise CorpusError(
            f"{path} is not a SentencePiece model",
            hint="expected the .model file that SentencePiece's training writes",
        )
    with_whitespace = [piece for piece in pieces if {*piece} & {" ", "\t", "\n"}]
    if with_whitespace:
        raise CorpusError(
            f"{path}: the piece {with_whitespace[0]!r} contains whitespace",
            hint=f"expected a model that writes spaces as {SPACE_MARK}",
        )
    return model


def train_sentencepiece(
    lines: Sequence[str], *, kind: Literal["bpe", "unigram"], vocab_size: int
) -> bytes:
    """Train a SentencePiece model.

    Args:
        lines: Normalised lines.
        kind: Model type.
        vocab_size: Largest number of pieces, special symbols included; a small text
            yields fewer.

    Returns:
        Content of the model's file; equal for equal arguments.

    Raises:
        CorpusError: All lines are blank.
        ConfigError: `vocab_size` is too small for the characters of the lines.
    """
    import sentencepiece

    characters = set().union(*map(set, lines)) - {" ", SPACE_MARK}
    if not characters:
        raise CorpusError("there is no text to train SentencePiece on")
    needed = len(characters) + len((PAD, UNK, EOS, SPACE_MARK))
    if vocab_size < needed:
        raise ConfigError(
            f"preprocess.sentencepiece_vocab_size is {vocab_size}, and the text has "
            f"{len(characters)} different characters",
            hint=f"it has to be at least {needed}",
        )
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=_segments(lines),
        model_writer=model,
        model_type=kind,
        vocab_size=vocab_size,
        hard_vocab_limit=False,
        character_coverage=1.0,
        normalization_rule_name="identity",
        pad_id=PAD,
        pad_piece=PAD_TOKEN,
        unk_id=UNK,
        unk_piece=UNK_TOKEN,
        eos_id=EOS,
        eos_piece=EOS_TOKEN,
        bos_id=_NO_BOS,
        input_sentence_size=0,
        shuffle_input_sentence=False,
        max_sentence_length=4 * _MAX_SEGMENT,
        num_threads=_NUM_THREADS,
        minloglevel=2,
    )
    return model.getvalue()


def _segments(lines: Sequence[str]) -> Iterator[str]:
    """Split lines into segments that SentencePiece accepts."""
    for line in lines:
        for start in range(0, len(line), _MAX_SEGMENT):
            yield line[start : start + _MAX_SEGMENT]

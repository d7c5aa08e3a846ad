"""The tokenizer `sentencepiece`: pieces of words, learnt from the training text.

Only the pieces of a model count. Their ids come from the vocabulary, and the special
symbols are ours, whatever the model calls its own.
"""

import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from pipelines.artifacts.vocab import EOS, EOS_TOKEN, PAD, PAD_TOKEN, UNK, UNK_TOKEN
from pipelines.errors import ConfigError, CorpusError

_BLANK = "\u2581"
_MAX_SEGMENT = 4096  # characters; longer ones overflow SentencePiece's positions
_NO_BOS = -1
_FIRST_BYTE = "<0x00>"
_BYTES = re.compile(r"(?:<0x[0-9A-F]{2}>)+")
_NUM_THREADS = 16  # fixed: the sums of its EM steps depend on how they are split


class SentencePieceTokenizer:
    """Pieces of one trained model.

    SentencePiece marks blanks with `▁`, so a literal `▁` in the text becomes a blank.

    Args:
        model: The bytes of the model's file.
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
        """The pieces of a line."""
        pieces: list[str] = self._processor.encode(line, out_type=str)
        return pieces

    def detokenize(self, tokens: Sequence[str]) -> str:
        """Pieces joined, blanks restored; pieces that are bytes become characters."""
        text = "".join(tokens)
        if self._has_bytes:
            text = _BYTES.sub(_decode_bytes, text)
        return text.replace(_BLANK, " ").strip(" ")


def _decode_bytes(found: re.Match[str]) -> str:
    """The characters of `<0xC3><0xA9>`."""
    digits = found[0].replace("<0x", "").replace(">", "")
    return bytes.fromhex(digits).decode("utf-8", "replace")


def load_sentencepiece(path: Path) -> bytes:
    """Read a trained SentencePiece model and check it.

    Raises:
        CorpusError: It is not a model, or a piece holds a blank.
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
    with_blank = [piece for piece in pieces if {*piece} & {" ", "\t", "\n"}]
    if with_blank:
        raise CorpusError(
            f"{path}: the piece {with_blank[0]!r} holds a blank",
            hint=f"expected a model that writes blanks as {_BLANK}",
        )
    return model


def train_sentencepiece(
    lines: Sequence[str], *, kind: Literal["bpe", "unigram"], vocab_size: int
) -> bytes:
    """Train a SentencePiece model.

    Args:
        lines: Normalised lines.
        kind: Its model type.
        vocab_size: Most pieces, special symbols included; a small text gives fewer.

    Returns:
        The bytes of the model's file; the same for the same lines.

    Raises:
        CorpusError: The lines hold nothing but blanks.
        ConfigError: There are more different characters than pieces.
    """
    import sentencepiece

    characters = set().union(*map(set, lines)) - {" ", _BLANK}
    if not characters:
        raise CorpusError("there is no text to train SentencePiece on")
    # the special symbols, and the blank
    needed = len(characters) + 4
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
    for line in lines:
        for start in range(0, len(line), _MAX_SEGMENT):
            yield line[start : start + _MAX_SEGMENT]

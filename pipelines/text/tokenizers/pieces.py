"""The tokenizer `sentencepiece`: pieces of words, learnt from the training text."""

import io
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from pipelines.artifacts.vocab import EOS, EOS_TOKEN, PAD, PAD_TOKEN, UNK, UNK_TOKEN
from pipelines.errors import ConfigError, CorpusError

_BLANK = "\u2581"
_MAX_SEGMENT = 4096  # characters; longer ones overflow SentencePiece's positions
_NO_BOS = -1
_NUM_THREADS = 16  # fixed: the sums of its EM steps depend on how they are split


class PieceTokenizer:
    """Pieces of one trained model.

    SentencePiece marks blanks with `▁`, so a literal `▁` in the text becomes a blank.

    Args:
        model: The bytes of the model's file.
    """

    def __init__(self, model: bytes) -> None:
        import sentencepiece

        self._processor: Any = sentencepiece.SentencePieceProcessor(model_proto=model)

    def tokenize(self, line: str) -> list[str]:
        """The pieces of a line."""
        pieces: list[str] = self._processor.encode(line, out_type=str)
        return pieces

    def detokenize(self, tokens: Sequence[str]) -> str:
        """Pieces joined, blanks restored."""
        return "".join(tokens).replace(_BLANK, " ").strip(" ")


def train_pieces(
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

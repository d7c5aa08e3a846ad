"""From a normalised line to tokens and back: one module for each kind."""

from pipelines.text.tokenizers.base import Tokenizer
from pipelines.text.tokenizers.blanks import BlankTokenizer
from pipelines.text.tokenizers.characters import CharacterTokenizer
from pipelines.text.tokenizers.moses import moses_tokenizer, word_tokenizer
from pipelines.text.tokenizers.pieces import (
    PieceTokenizer,
    read_pieces,
    train_pieces,
)

__all__ = [
    "BlankTokenizer",
    "CharacterTokenizer",
    "PieceTokenizer",
    "Tokenizer",
    "moses_tokenizer",
    "read_pieces",
    "train_pieces",
    "word_tokenizer",
]

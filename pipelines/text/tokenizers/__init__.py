"""From a normalised line to tokens and back: one module for each kind."""

from pipelines.text.tokenizers.base import Tokenizer
from pipelines.text.tokenizers.characters import CharacterTokenizer
from pipelines.text.tokenizers.moses import moses_tokenizer, word_tokenizer
from pipelines.text.tokenizers.sentencepiece_model import (
    SentencePieceTokenizer,
    load_sentencepiece,
    train_sentencepiece,
)
from pipelines.text.tokenizers.whitespace import WhitespaceTokenizer

__all__ = [
    "CharacterTokenizer",
    "SentencePieceTokenizer",
    "Tokenizer",
    "WhitespaceTokenizer",
    "load_sentencepiece",
    "moses_tokenizer",
    "train_sentencepiece",
    "word_tokenizer",
]

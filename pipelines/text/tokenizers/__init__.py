"""Tokenizers: one module for each kind.

A tokenizer turns a normalised line into tokens, and tokens into a line. A token is
never empty and contains neither an ASCII space nor a line end.
"""

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
    "WhitespaceTokenizer",
    "load_sentencepiece",
    "moses_tokenizer",
    "train_sentencepiece",
    "word_tokenizer",
]

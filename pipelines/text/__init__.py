"""Text rules: normalise, tokenize, reverse, end with EOS, and the way back."""

from pipelines.text.normalise import is_blank, normalise
from pipelines.text.pipeline import TextPipeline, TextSettings, TokenizedLine

__all__ = ["TextPipeline", "TextSettings", "TokenizedLine", "is_blank", "normalise"]

"""Text rules: normalise, tokenize, reverse the source, append EOS, detokenize."""

from pipelines.text.normalise import is_blank, normalise
from pipelines.text.pipeline import TextPipeline, TokenizedLine
from pipelines.text.settings import TextSettings

__all__ = ["TextPipeline", "TextSettings", "TokenizedLine", "is_blank", "normalise"]

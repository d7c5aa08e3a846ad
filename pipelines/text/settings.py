"""The settings of the text rules, as `pipeline.json` holds them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from pipelines.config import Config
from pipelines.config.preprocess import TokenizerName
from pipelines.text.normalise import Form


@dataclass(frozen=True, slots=True)
class TextSettings:
    """The settings that decide what a line becomes."""

    source_lang: str
    target_lang: str
    tokenizer: TokenizerName
    """The source's; the target's, too, unless `target_tokenizer` is set."""
    lowercase: bool
    normalization: Form
    reverse_source: bool
    target_tokenizer: TokenizerName | None = None
    """Where the target side has another one than the source side."""

    @classmethod
    def from_config(cls, config: Config) -> Self:
        """The text settings among all settings."""
        source, target = config.preprocess.tokenizers
        return cls(
            source_lang=config.data.source_lang,
            target_lang=config.data.target_lang,
            tokenizer=source,
            lowercase=config.preprocess.lowercase,
            normalization=config.preprocess.normalization,
            reverse_source=config.preprocess.reverse_source,
            target_tokenizer=None if target == source else target,
        )

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The settings that `to_json` gave.

        Raises:
            TypeError: A setting is unknown or missing.
        """
        return cls(**content)

    def to_json(self) -> dict[str, Any]:
        """Plain values; `target_tokenizer` only where it is set."""
        content = asdict(self)
        if self.target_tokenizer is None:
            del content["target_tokenizer"]
        return content

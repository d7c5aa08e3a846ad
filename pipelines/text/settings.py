"""The settings of the text rules, as `pipeline.json` contains them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from pipelines.config import Config
from pipelines.config.preprocess import TokenizerName
from pipelines.text.normalise import Form


@dataclass(frozen=True, slots=True)
class TextSettings:
    """Settings that decide the tokens of a line."""

    source_lang: str
    target_lang: str
    tokenizer: TokenizerName
    """Tokenizer of the source, and of the target unless `target_tokenizer` is set."""
    lowercase: bool
    normalization: Form
    reverse_source: bool
    target_tokenizer: TokenizerName | None = None
    """Tokenizer of the target where it differs from the source's."""

    @classmethod
    def from_config(cls, config: Config) -> Self:
        """Select the text settings of a project."""
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
        """Create settings from the values of `to_json`.

        Raises:
            TypeError: A setting is unknown or missing.
        """
        return cls(**content)

    def to_json(self) -> dict[str, Any]:
        """Convert to JSON values; `target_tokenizer` only where it is set."""
        content = asdict(self)
        if self.target_tokenizer is None:
            del content["target_tokenizer"]
        return content

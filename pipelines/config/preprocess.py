"""The section `[preprocess]`: its settings, the values of `auto`, contradictions."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from pipelines.config.section import (
    EXECUTION,
    INPUT_FILE,
    LATER,
    Expected,
    NonNegative,
    Positive,
    Section,
)

TokenizerName = Literal["moses", "sentencepiece", "characters", "none"]
SideTokenizer = Literal["same", "moses", "sentencepiece", "characters", "none"]

AUTO = "auto"
_MAX_LENGTH: Mapping[TokenizerName, int] = {
    "moses": 100,
    "sentencepiece": 150,
    "characters": 500,
    "none": 100,
}
"""Value of `auto`: at most 0.1 % of ordinary sentence pairs are longer, in tokens."""
_MIN_COUNT: Mapping[TokenizerName, int] = {
    "moses": 2,
    "sentencepiece": 1,
    "characters": 1,
    "none": 2,
}
"""Value of `auto`: a word seen once teaches little; pieces and characters are few."""

_FILES = (
    "source_vocab",
    "target_vocab",
    "source_sentencepiece",
    "target_sentencepiece",
)


class PreprocessConfig(Section):
    """From raw text to tokens and vocabularies."""

    tokenizer: TokenizerName = "moses"
    """Tokenizer of both sides; none splits at spaces, for text that is tokenized."""
    source_tokenizer: SideTokenizer = Field(default="same", json_schema_extra=LATER)
    """Tokenizer of the source side; same takes the value of tokenizer."""
    target_tokenizer: SideTokenizer = Field(default="same", json_schema_extra=LATER)
    """Tokenizer of the target side; same takes the value of tokenizer."""
    sentencepiece_model: Literal["bpe", "unigram"] = "bpe"
    """Kind of SentencePiece model to train."""
    sentencepiece_joint: bool = False
    """Train one SentencePiece model for both sides instead of one for each."""
    sentencepiece_vocab_size: Positive = 8000
    """Number of pieces in a SentencePiece model; fewer if the text is too small."""
    sentencepiece_sample_size: Positive = 1_000_000
    """Number of sampled lines on which a SentencePiece model is trained."""
    source_sentencepiece: str = Field(default="", json_schema_extra=INPUT_FILE)
    """File of a SentencePiece model for the source side (both sides with
    sentencepiece_joint), relative to the project's folder; if empty, one is trained."""
    target_sentencepiece: str = Field(default="", json_schema_extra=INPUT_FILE)
    """File of a SentencePiece model for the target side; if empty, one is trained."""
    lowercase: bool = False
    """Lower-case both sides."""
    normalization: Literal["none", "nfc"] = "nfc"
    """Unicode normalization of both sides."""
    share_vocab: bool = Field(default=False, json_schema_extra=LATER)
    """Use one vocabulary for both sides, with at most source_vocab_size entries."""
    source_vocab: str = Field(default="", json_schema_extra=INPUT_FILE)
    """Vocabulary file of the source side (both sides with share_vocab), relative to the
    project's folder: a token, or token<TAB>count, on each line; if empty, tokens are
    counted in the training text."""
    target_vocab: str = Field(default="", json_schema_extra=INPUT_FILE)
    """Vocabulary file of the target side; if empty, tokens are counted in the training
    text."""
    source_vocab_size: Annotated[int, Field(ge=4)] = 160_000
    """Largest number of source vocabulary entries, including 3 special symbols."""
    target_vocab_size: Annotated[int, Field(ge=4)] = 80_000
    """Largest number of target vocabulary entries, including 3 special symbols."""
    min_count: Annotated[
        Positive | tuple[Positive, Positive],
        Expected("auto, an integer of at least 1, or [source, target]", (AUTO,)),
    ] = 1
    """Smallest count in the training text, or [source, target], below which a token
    becomes <unk>; auto is 2 for words and 1 for pieces and characters."""
    reverse_source: bool = True
    """Reverse the order of the source tokens (section 3.3 of the paper)."""
    max_length: Annotated[
        NonNegative, Expected("auto or an integer of at least 0", (AUTO,))
    ] = 0
    """Drop training and validation pairs with more than this many tokens on a side; 0
    keeps all, auto is 100 words, 150 pieces or 500 characters."""
    max_ratio: Annotated[float, Field(ge=0.0)] = 0.0
    """Drop pairs whose lengths differ by more than this factor; 0 keeps all."""
    seed: NonNegative = 1
    """Seed of the sample of lines for SentencePiece."""
    part_size: Positive = 20_000
    """Number of sentence pairs in a part file."""
    workers: NonNegative = Field(default=0, json_schema_extra=EXECUTION)
    """Number of processes (0: one for each core), which does not change the result."""

    @property
    def tokenizers(self) -> tuple[TokenizerName, TokenizerName]:
        """Tokenizers of the source and the target side."""
        return _tokenizers(self.__dict__)

    @property
    def min_counts(self) -> tuple[int, int]:
        """Smallest counts on the source and the target side."""
        count = self.min_count
        return count if isinstance(count, tuple) else (count, count)

    def input_files(self) -> dict[str, str]:
        """Return the user's vocabularies and models: name of the setting -> path."""
        return {name: path for name in _FILES if (path := getattr(self, name))}

    @field_validator("max_length", mode="before")
    @classmethod
    def _choose_max_length(cls, value: Any, info: ValidationInfo) -> Any:
        """Replace `auto` by a number, as manifests and fingerprints hold numbers."""
        if value != AUTO:
            return value
        return max(_MAX_LENGTH[name] for name in _tokenizers(info.data))

    @field_validator("min_count", mode="before")
    @classmethod
    def _choose_min_count(cls, value: Any, info: ValidationInfo) -> Any:
        """Replace `auto` by a number or two, and two equal numbers by one."""
        if value == AUTO:
            value = [_MIN_COUNT[name] for name in _tokenizers(info.data)]
            if info.data.get("share_vocab"):
                return min(value)
        if isinstance(value, list | tuple) and len(value) == 2 and len({*value}) == 1:
            return value[0]
        return value

    @model_validator(mode="after")
    def _require_matching_tokenizers(self) -> Self:
        for side, name in zip(("source", "target"), self.tokenizers, strict=True):
            setting = f"{side}_sentencepiece"
            if getattr(self, setting) and name != "sentencepiece":
                raise ValueError(
                    f"{setting} needs {side}_tokenizer (or tokenizer) = "
                    f'"sentencepiece", and the {side} side\'s tokenizer is {name}'
                )
        if self.sentencepiece_joint:
            if len({name == "sentencepiece" for name in self.tokenizers}) > 1:
                raise ValueError(
                    "sentencepiece_joint = true needs the tokenizer sentencepiece on "
                    "both sides"
                )
            if self.target_sentencepiece:
                raise ValueError(
                    "sentencepiece_joint = true takes source_sentencepiece for both "
                    "sides: remove target_sentencepiece"
                )
        return self

    @model_validator(mode="after")
    def _require_one_shared_vocabulary(self) -> Self:
        if self.share_vocab and self.target_vocab:
            raise ValueError(
                "share_vocab = true takes source_vocab for both sides: remove "
                "target_vocab"
            )
        if self.share_vocab and isinstance(self.min_count, tuple):
            raise ValueError(
                f"share_vocab = true needs one min_count, found {list(self.min_count)}"
            )
        return self


def _tokenizers(values: Mapping[str, Any]) -> tuple[TokenizerName, TokenizerName]:
    """Return the tokenizers of both sides; a refused value counts as the default."""
    both: TokenizerName = values.get("tokenizer", "moses")
    source, target = (
        both if (name := values.get(f"{side}_tokenizer", "same")) == "same" else name
        for side in ("source", "target")
    )
    return source, target

"""The text rules of one project in one object, from raw line to ids and back.

`preprocess` creates the pipeline and writes it to `text/`; every checkpoint contains a
copy, so that training and translation process text by the same rules.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Protocol, Self

from pipelines.artifacts.files import sha256_bytes
from pipelines.artifacts.layout import (
    PIPELINE,
    SOURCE_MODEL,
    SOURCE_VOCAB,
    TARGET_MODEL,
    TARGET_VOCAB,
)
from pipelines.artifacts.text_pipeline import (
    TextPipelineFiles,
    read_text_pipeline,
    write_text_pipeline,
)
from pipelines.artifacts.vocab import (
    EOS_TOKEN,
    SPECIALS,
    UNK,
    UNK_TOKEN,
    Vocabulary,
    replace_specials,
)
from pipelines.config.preprocess import TokenizerName
from pipelines.errors import VersionError
from pipelines.text.normalise import is_blank, normalise, split_spaces
from pipelines.text.settings import TextSettings
from pipelines.text.tokenizers.characters import CharacterTokenizer
from pipelines.text.tokenizers.moses import moses_tokenizer, word_tokenizer
from pipelines.text.tokenizers.sentencepiece_model import SentencePieceTokenizer
from pipelines.text.tokenizers.whitespace import WhitespaceTokenizer

SETTINGS_PART = "settings"
"""Name of the text settings among the parts of a pipeline."""

_NO_TOKENS = Vocabulary(SPECIALS, (0,) * len(SPECIALS))


class Tokenizer(Protocol):
    """Turns a normalised line into tokens, and tokens into a line."""

    def tokenize(self, line: str) -> list[str]:
        """Split a line into tokens; a blank line has none."""

    def detokenize(self, tokens: Sequence[str]) -> str:
        """Join tokens into a line."""


@dataclass(frozen=True, slots=True)
class TokenizedLine:
    """The tokens of a line, and the number of characters and tokens replaced."""

    tokens: list[str]
    num_controls: int
    """Number of control characters that became spaces."""
    num_specials: int
    """Number of literal special symbols that became `<unk>`."""


class TextPipeline:
    """Converts raw lines to tokens and ids, and target tokens to text.

    Args:
        settings: The text settings.
        source_vocab: Source vocabulary; `with_vocabularies` sets it later.
        target_vocab: Target vocabulary; `with_vocabularies` sets it later.
        models: SentencePiece models by file name, for the tokenizer `sentencepiece`.
    """

    def __init__(
        self,
        settings: TextSettings,
        source_vocab: Vocabulary = _NO_TOKENS,
        target_vocab: Vocabulary = _NO_TOKENS,
        models: Mapping[str, bytes] | None = None,
    ) -> None:
        self.settings = settings
        self.source_vocab = source_vocab
        self.target_vocab = target_vocab
        self.models = dict(models or {})

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle without the tokenizers: each process builds its own."""
        return (
            type(self),
            (self.settings, self.source_vocab, self.target_vocab, self.models),
        )

    @property
    def source_tokenizer(self) -> TokenizerName:
        """Name of the source side's tokenizer."""
        return self.settings.tokenizer

    @property
    def target_tokenizer(self) -> TokenizerName:
        """Name of the target side's tokenizer."""
        return self.settings.target_tokenizer or self.settings.tokenizer

    @property
    def lowercase(self) -> bool:
        """Whether all text is lowercased."""
        return self.settings.lowercase

    def build_tokenizers(self) -> None:
        """Build the tokenizers now, so that warnings come before long work."""
        _ = self._built_source_tokenizer, self._built_target_tokenizer

    def with_vocabularies(self, source: Vocabulary, target: Vocabulary) -> Self:
        """Copy the pipeline with other vocabularies."""
        return type(self)(self.settings, source, target, self.models)

    def normalise(self, line: str) -> tuple[str, int]:
        """Normalize a line for tokenization; also count its control characters."""
        text, num_controls = normalise(line, self.settings.normalization)
        return (text.lower() if self.lowercase else text), num_controls

    def tokenize_source(self, line: str) -> TokenizedLine:
        """Tokenize a raw source line, reverse it if so configured, append `</s>`.

        Source of the reversal: Sutskever et al. 2014, section 3.3.
        """
        tokenized = self._tokenize(line, self._built_source_tokenizer)
        tokens = tokenized.tokens
        if self.settings.reverse_source:
            tokens = tokens[::-1]
        return replace(tokenized, tokens=[*tokens, EOS_TOKEN])

    def tokenize_target(self, line: str) -> TokenizedLine:
        """Tokenize a raw target line and append `</s>`."""
        tokenized = self._tokenize(line, self._built_target_tokenizer)
        return replace(tokenized, tokens=[*tokenized.tokens, EOS_TOKEN])

    def source_ids(self, line: str) -> list[int]:
        """Source ids of a raw line, with EOS."""
        return self.source_vocab.ids(self.tokenize_source(line).tokens)

    def source_ids_within(self, line: str, limit: int) -> tuple[list[int], bool]:
        """Source ids of the first `limit` tokens of a raw line, with EOS.

        Returns:
            The ids, and whether tokens were cut off.
        """
        *tokens, eos = self.source_ids(line)
        kept = tokens[-limit:] if self.settings.reverse_source else tokens[:limit]
        return [*kept, eos], len(tokens) > limit

    def unknown_source_words(self, line: str) -> list[str]:
        """Source tokens of a raw line that are not in the vocabulary, in its order."""
        tokens = self._tokenize(line, self._built_source_tokenizer).tokens
        ids = self.source_vocab.ids(tokens)
        return [token for token, id_ in zip(tokens, ids, strict=True) if id_ == UNK]

    def target_ids(self, line: str) -> list[int]:
        """Target ids of a raw line, with EOS."""
        return self.target_vocab.ids(self.tokenize_target(line).tokens)

    def target_ids_of_tokens(self, tokens: Sequence[str]) -> list[int]:
        """Target ids of tokens that were made elsewhere, with EOS.

        Characters are normalised as in a raw line; literal special symbols are unknown.
        """
        normalised, _ = self.normalise(" ".join(tokens))
        plain_tokens, _ = replace_specials(split_spaces(normalised))
        return self.target_vocab.ids([*plain_tokens, EOS_TOKEN])

    def target_text(self, tokens: Sequence[str]) -> str:
        """Detokenize target tokens, given without `</s>`."""
        return self._built_target_tokenizer.detokenize(tokens)

    def word_tokens(self, line: str) -> str:
        """Split a target line into words and punctuation marks, for tokenised BLEU.

        Pre-tokenized text is split at spaces; any other text is tokenized by the Moses
        rules of the target language. An `<unk>` in a hypothesis stays one word.

        Returns:
            The words, separated by spaces.
        """
        text, _ = self.normalise(line)
        if self.target_tokenizer == "none":
            return " ".join(split_spaces(text))
        is_moses = self.target_tokenizer == "moses"
        moses = (moses_tokenizer if is_moses else word_tokenizer)(
            self.settings.target_lang
        )
        words: list[str] = []
        for index, segment in enumerate(text.split(UNK_TOKEN)):
            if index:
                words.append(UNK_TOKEN)
            words += moses.tokenize(segment)
        return " ".join(words)

    def differences(self, other: Self) -> list[str]:
        """Names, as in `content_hashes`, of what differs from another pipeline."""
        own, others = self.content_hashes(), other.content_hashes()
        names = sorted({*own, *others})
        return [name for name in names if own.get(name) != others.get(name)]

    def content_hashes(self) -> dict[str, str]:
        """SHA-256 of the settings, the vocabularies and the models, by file name."""
        settings = json.dumps(self.settings.to_json(), sort_keys=True)
        return {
            SETTINGS_PART: sha256_bytes(settings.encode()),
            SOURCE_VOCAB: self.source_vocab.sha256,
            TARGET_VOCAB: self.target_vocab.sha256,
            **{name: sha256_bytes(model) for name, model in self.models.items()},
        }

    def save(self, folder: Path) -> None:
        """Write the pipeline into a folder, which is created if it does not exist."""
        files = TextPipelineFiles(
            self.settings.to_json(), self.source_vocab, self.target_vocab, self.models
        )
        write_text_pipeline(folder, files)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a pipeline and check the hash of each file.

        Raises:
            MissingArtifactError: The folder or one of its files is missing.
            CorruptArtifactError: A file is not what was written; the message names it.
            VersionError: Another version of s2s wrote the folder, in another format or
                with unknown settings.
        """
        files = read_text_pipeline(folder)
        try:
            settings = TextSettings.from_json(files.settings)
        except TypeError:
            raise VersionError(
                f"{folder / PIPELINE} has settings that this s2s does not know: "
                f"{sorted(files.settings)}",
                hint="use the version of s2s that wrote it",
            ) from None
        return cls(settings, files.source_vocab, files.target_vocab, files.models)

    def _tokenize(self, line: str, tokenizer: Tokenizer) -> TokenizedLine:
        text, num_controls = self.normalise(line)
        tokens = [] if is_blank(text) else tokenizer.tokenize(text)
        tokens, num_specials = replace_specials(tokens)
        return TokenizedLine(tokens, num_controls, num_specials)

    @cached_property
    def _built_source_tokenizer(self) -> Tokenizer:
        return self._build_tokenizer(
            self.source_tokenizer, self.settings.source_lang, SOURCE_MODEL
        )

    @cached_property
    def _built_target_tokenizer(self) -> Tokenizer:
        return self._build_tokenizer(
            self.target_tokenizer, self.settings.target_lang, TARGET_MODEL
        )

    def _build_tokenizer(
        self, name: TokenizerName, language: str, model: str
    ) -> Tokenizer:
        if name == "moses":
            return moses_tokenizer(language)
        if name == "sentencepiece":
            return SentencePieceTokenizer(self.models[model])
        if name == "characters":
            return CharacterTokenizer()
        return WhitespaceTokenizer()

"""The text rules of one project in one object, from raw line to ids and back.

`preprocess` makes it and writes it to `text/`; every checkpoint carries a copy, so that
what is measured is what is deployed. Its folder:

    pipeline.json      version, settings, SHA-256 of each file beside it and of itself
    source.vocab.tsv   target.vocab.tsv
    source.spm         target.spm      (sides whose tokenizer is sentencepiece; equal
                                        when joint)
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from pipelines.artifacts.files import sha256_bytes, write_atomic
from pipelines.artifacts.layout import (
    PIPELINE,
    SOURCE_MODEL,
    SOURCE_VOCAB,
    TARGET_MODEL,
    TARGET_VOCAB,
)
from pipelines.artifacts.vocab import (
    SPECIALS,
    UNK,
    UNK_TOKEN,
    Vocabulary,
    read_vocab,
    write_vocab,
)
from pipelines.config.preprocess import TokenizerName
from pipelines.errors import (
    CorruptArtifactError,
    MissingArtifactError,
    VersionError,
)
from pipelines.text.normalise import is_blank, normalise, split_blanks
from pipelines.text.sequence import append_eos, drop_eos, replace_specials, reverse
from pipelines.text.settings import TextSettings
from pipelines.text.tokenizers import (
    CharacterTokenizer,
    SentencePieceTokenizer,
    Tokenizer,
    WhitespaceTokenizer,
    moses_tokenizer,
    word_tokenizer,
)

FORMAT_VERSION = 1

_NO_TOKENS = Vocabulary(SPECIALS, (0,) * len(SPECIALS))


@dataclass(frozen=True, slots=True)
class TokenizedLine:
    """The tokens of a line and what was changed to get them."""

    tokens: list[str]
    num_controls: int
    """Control characters that became blanks."""
    num_specials: int
    """Literal special symbols that became `<unk>`."""


class TextPipeline:
    """From raw lines to tokens and ids, and the way back.

    Args:
        settings: The rules.
        source_vocab: May be set later, by `with_vocabularies`.
        target_vocab: As `source_vocab`.
        models: SentencePiece models by file name, where the tokenizer needs them.
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
        """Travel to a worker without the tokenizers, which it builds itself."""
        return (
            type(self),
            (self.settings, self.source_vocab, self.target_vocab, self.models),
        )

    @property
    def source_lang(self) -> str:
        """Language code of the source."""
        return self.settings.source_lang

    @property
    def target_lang(self) -> str:
        """Language code of the target."""
        return self.settings.target_lang

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
        """Whether all text is lower-cased."""
        return self.settings.lowercase

    def prepare(self) -> None:
        """Build the tokenizers now, so that any warning comes before the work."""
        _ = self._built_source_tokenizer, self._built_target_tokenizer

    def with_vocabularies(self, source: Vocabulary, target: Vocabulary) -> Self:
        """The same rules with vocabularies."""
        return type(self)(self.settings, source, target, self.models)

    def normalise(self, line: str) -> tuple[str, int]:
        """A line before tokenization, and how many control characters it had."""
        text, num_controls = normalise(line, self.settings.normalization)
        return (text.lower() if self.lowercase else text), num_controls

    def tokenize_source(self, line: str) -> TokenizedLine:
        """The source sequence of a raw line: reversed if so set, with `</s>`."""
        found = self._tokenize(line, self._built_source_tokenizer)
        tokens = found.tokens
        if self.settings.reverse_source:
            tokens = reverse(tokens)
        return replace(found, tokens=append_eos(tokens))

    def tokenize_target(self, line: str) -> TokenizedLine:
        """The target sequence of a raw line, with `</s>`."""
        found = self._tokenize(line, self._built_target_tokenizer)
        return replace(found, tokens=append_eos(found.tokens))

    def source_tokens(self, line: str) -> list[str]:
        """The source sequence of a raw line; `["</s>"]` for a blank one."""
        return self.tokenize_source(line).tokens

    def target_tokens(self, line: str) -> list[str]:
        """The target sequence of a raw line; `["</s>"]` for a blank one."""
        return self.tokenize_target(line).tokens

    def source_ids(self, line: str) -> list[int]:
        """Ids of the source sequence of a raw line."""
        return self.source_vocab.ids(self.source_tokens(line))

    def source_ids_within(self, line: str, limit: int) -> tuple[list[int], bool]:
        """Ids of a raw line's beginning: at most `limit` tokens, and EOS.

        Returns:
            The ids, and whether the line was longer.
        """
        *tokens, eos = self.source_ids(line)
        kept = tokens[-limit:] if self.settings.reverse_source else tokens[:limit]
        return [*kept, eos], len(tokens) > limit

    def unknown_source_words(self, line: str) -> list[str]:
        """Tokens of a raw line that its vocabulary lacks, in the line's order."""
        tokens = self._tokenize(line, self._built_source_tokenizer).tokens
        ids = self.source_vocab.ids(tokens)
        return [
            token for token, number in zip(tokens, ids, strict=True) if number == UNK
        ]

    def target_ids(self, line: str) -> list[int]:
        """Ids of the target sequence of a raw line."""
        return self.target_vocab.ids(self.target_tokens(line))

    def target_text(self, tokens: Sequence[str]) -> str:
        """The line that target tokens stand for, with or without their `</s>`."""
        return self._built_target_tokenizer.detokenize(drop_eos(tokens))

    def target_text_from_ids(self, ids: Sequence[int]) -> str:
        """The line that target ids stand for, with or without their EOS."""
        return self.target_text(self.target_vocab.tokens_of(ids))

    def word_tokens(self, line: str) -> str:
        """A target line as words and punctuation marks, for the tokenised BLEU.

        Pre-tokenized text keeps its own words; any other is tokenized by Moses' rules
        for the target language. An `<unk>` that the model wrote stays one word.
        """
        text, _ = self.normalise(line)
        if self.target_tokenizer == "none":
            return " ".join(split_blanks(text))
        chosen = self.target_tokenizer == "moses"
        moses = (moses_tokenizer if chosen else word_tokenizer)(self.target_lang)
        words: list[str] = []
        for number, piece in enumerate(text.split(UNK_TOKEN)):
            if number:
                words.append(UNK_TOKEN)
            words += moses.tokenize(piece)
        return " ".join(words)

    def save(self, folder: Path) -> None:
        """Write the pipeline into a folder, which is made if it is not there."""
        folder.mkdir(parents=True, exist_ok=True)
        write_vocab(folder / SOURCE_VOCAB, self.source_vocab)
        write_vocab(folder / TARGET_VOCAB, self.target_vocab)
        for name, model in self.models.items():
            (folder / name).write_bytes(model)
        names = sorted([SOURCE_VOCAB, TARGET_VOCAB, *self.models])
        content: dict[str, Any] = {
            "version": FORMAT_VERSION,
            "settings": self.settings.to_json(),
            "files": {n: sha256_bytes((folder / n).read_bytes()) for n in names},
        }
        content["sha256"] = _own_hash(content)
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        write_atomic(folder / PIPELINE, text.encode())

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a pipeline and check every file of it.

        Raises:
            MissingArtifactError: The folder or one of its files is missing.
            CorruptArtifactError: A file is not what was written; the message names it.
            VersionError: Another version of s2s wrote it, in another format or with
                settings that this one does not know.
        """
        content = _read_pipeline(folder / PIPELINE)
        files = {
            name: _read_checked(folder / name, expected)
            for name, expected in content["files"].items()
        }
        return cls(
            _read_settings(content["settings"], folder / PIPELINE),
            read_vocab(folder / SOURCE_VOCAB),
            read_vocab(folder / TARGET_VOCAB),
            {n: files[n] for n in (SOURCE_MODEL, TARGET_MODEL) if n in files},
        )

    def _tokenize(self, line: str, tokenizer: Tokenizer) -> TokenizedLine:
        text, num_controls = self.normalise(line)
        tokens = [] if is_blank(text) else tokenizer.tokenize(text)
        tokens, num_specials = replace_specials(tokens)
        return TokenizedLine(tokens, num_controls, num_specials)

    @cached_property
    def _built_source_tokenizer(self) -> Tokenizer:
        return self._make(self.source_tokenizer, self.source_lang, SOURCE_MODEL)

    @cached_property
    def _built_target_tokenizer(self) -> Tokenizer:
        return self._make(self.target_tokenizer, self.target_lang, TARGET_MODEL)

    def _make(self, name: TokenizerName, language: str, model: str) -> Tokenizer:
        if name == "moses":
            return moses_tokenizer(language)
        if name == "sentencepiece":
            return SentencePieceTokenizer(self.models[model])
        if name == "characters":
            return CharacterTokenizer()
        return WhitespaceTokenizer()


def _own_hash(content: Mapping[str, Any]) -> str:
    return sha256_bytes(json.dumps(content, sort_keys=True).encode())


def _read_pipeline(path: Path) -> dict[str, Any]:
    content: dict[str, Any]
    try:
        content = json.loads(path.read_bytes())
        version, recorded = content["version"], content.pop("sha256")
    except (FileNotFoundError, NotADirectoryError):
        raise MissingArtifactError(f"{path} not found", hint="s2s preprocess") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptArtifactError(f"{path} is damaged: {error}") from error
    if version != FORMAT_VERSION:
        raise VersionError(
            f"{path} has format {version}, this s2s reads {FORMAT_VERSION}",
            hint="use the version of s2s that wrote it",
        )
    if _own_hash(content) != recorded:
        raise CorruptArtifactError(f"{path} is damaged: its own hash differs")
    return content


def _read_settings(content: Mapping[str, Any], path: Path) -> TextSettings:
    try:
        return TextSettings.from_json(content)
    except TypeError:
        raise VersionError(
            f"{path} has settings that this s2s does not know: {sorted(content)}",
            hint="use the version of s2s that wrote it",
        ) from None


def _read_checked(path: Path, expected: str) -> bytes:
    try:
        data = path.read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        raise MissingArtifactError(f"{path} not found") from None
    if sha256_bytes(data) != expected:
        raise CorruptArtifactError(f"{path} is damaged: its SHA-256 differs")
    return data

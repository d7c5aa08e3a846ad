"""Vocabularies and SentencePiece models that the user brings along."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pipelines.artifacts.corpus import hash_file
from pipelines.artifacts.vocab import read_token_list
from pipelines.config import PreprocessConfig
from pipelines.errors import ConfigError
from pipelines.text.tokenizers import load_sentencepiece


@dataclass(frozen=True, slots=True)
class OwnFiles:
    """What the user's files hold. Keys are the settings that name the files."""

    paths: Mapping[str, Path]
    tokens: Mapping[str, tuple[str, ...]]
    """Tokens of `source_vocab` and `target_vocab`, without the special symbols."""
    models: Mapping[str, bytes]
    """Bytes of `source_sentencepiece` and `target_sentencepiece`."""
    hashes: Mapping[str, str]
    """SHA-256 of every file as it lies on disk."""

    @classmethod
    def read(cls, settings: PreprocessConfig, root: Path) -> Self:
        """Read and check all files that the settings name.

        Args:
            settings: The paths, relative to the project.
            root: The project's folder.

        Raises:
            ConfigError: A file is missing.
            CorpusError: A file is no vocabulary or no model.
        """
        paths = {name: root / path for name, path in settings.input_files().items()}
        for name, path in paths.items():
            if not path.is_file():
                raise ConfigError(
                    f"{path} not found", hint=f"check preprocess.{name} in s2s.toml"
                )
        return cls(
            paths,
            {n: read_token_list(p) for n, p in paths.items() if n.endswith("vocab")},
            {n: load_sentencepiece(p) for n, p in paths.items() if n.endswith("piece")},
            {name: hash_file(path) for name, path in paths.items()},
        )

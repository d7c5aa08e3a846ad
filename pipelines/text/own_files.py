"""User-supplied vocabularies and SentencePiece models."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pipelines.artifacts.corpus import hash_file
from pipelines.artifacts.vocab import read_token_list
from pipelines.config import PreprocessConfig
from pipelines.errors import ConfigError
from pipelines.text.tokenizers.sentencepiece_model import load_sentencepiece


@dataclass(frozen=True, slots=True)
class OwnFiles:
    """Content of the user's files, by the settings that name them."""

    paths: Mapping[str, Path]
    tokens: Mapping[str, tuple[str, ...]]
    """Tokens of `source_vocab` and `target_vocab`, without special symbols."""
    models: Mapping[str, bytes]
    """Content of `source_sentencepiece` and `target_sentencepiece`."""
    hashes: Mapping[str, str]
    """SHA-256 of each file."""

    @classmethod
    def read(cls, settings: PreprocessConfig, root: Path) -> Self:
        """Read and check the files that the settings name.

        Args:
            settings: Paths relative to the project's folder.
            root: The project's folder.

        Raises:
            ConfigError: A file is missing.
            CorpusError: A file is not a vocabulary or not a model.
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

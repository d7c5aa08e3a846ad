"""The folder `text/` of a text pipeline, which every checkpoint carries a copy of.

pipeline.json      version, settings, SHA-256 of the other files and of itself
source.vocab.tsv   target.vocab.tsv
source.spm         target.spm      (sides whose tokenizer is sentencepiece; equal
                                    when joint)
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.artifacts.files import sha256_bytes, write_atomic
from pipelines.artifacts.layout import (
    PIPELINE,
    SOURCE_MODEL,
    SOURCE_VOCAB,
    TARGET_MODEL,
    TARGET_VOCAB,
)
from pipelines.artifacts.vocab import Vocabulary, read_vocab, write_vocab
from pipelines.errors import (
    CorruptArtifactError,
    MissingArtifactError,
    VersionError,
)

FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True)
class TextPipelineFiles:
    """Content of the folder."""

    settings: Mapping[str, Any]
    """JSON values of the text settings."""
    source_vocab: Vocabulary
    target_vocab: Vocabulary
    models: Mapping[str, bytes]
    """SentencePiece models by file name."""


def write_text_pipeline(folder: Path, files: TextPipelineFiles) -> None:
    """Write the files into a folder, which is created if it does not exist."""
    folder.mkdir(parents=True, exist_ok=True)
    write_vocab(folder / SOURCE_VOCAB, files.source_vocab)
    write_vocab(folder / TARGET_VOCAB, files.target_vocab)
    for name, model in files.models.items():
        (folder / name).write_bytes(model)
    names = sorted([SOURCE_VOCAB, TARGET_VOCAB, *files.models])
    content: dict[str, Any] = {
        "version": FORMAT_VERSION,
        "settings": files.settings,
        "files": {n: sha256_bytes((folder / n).read_bytes()) for n in names},
    }
    content["sha256"] = _hash_content(content)
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    write_atomic(folder / PIPELINE, text.encode())


def read_text_pipeline(folder: Path) -> TextPipelineFiles:
    """Read the files and check their hashes.

    Raises:
        MissingArtifactError: The folder or one of its files is missing.
        CorruptArtifactError: A file is not what was written; the message names it.
        VersionError: The folder has the format of another version of s2s.
    """
    content = _read_description(folder / PIPELINE)
    data = {
        name: _read_checked(folder / name, sha256)
        for name, sha256 in content["files"].items()
    }
    return TextPipelineFiles(
        content["settings"],
        read_vocab(folder / SOURCE_VOCAB),
        read_vocab(folder / TARGET_VOCAB),
        {name: data[name] for name in (SOURCE_MODEL, TARGET_MODEL) if name in data},
    )


def _hash_content(content: Mapping[str, Any]) -> str:
    return sha256_bytes(json.dumps(content, sort_keys=True).encode())


def _read_description(path: Path) -> dict[str, Any]:
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
    if _hash_content(content) != recorded:
        raise CorruptArtifactError(f"{path} is damaged: its own hash differs")
    return content


def _read_checked(path: Path, sha256: str) -> bytes:
    try:
        data = path.read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        raise MissingArtifactError(f"{path} not found") from None
    if sha256_bytes(data) != sha256:
        raise CorruptArtifactError(f"{path} is damaged: its SHA-256 differs")
    return data

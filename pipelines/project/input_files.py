"""The user's files as inputs of stages: their roles in a manifest, and their hashes.

A file that is gone has the hash that the manifest of `preprocess` recorded.
"""

from pipelines.artifacts.corpus import named_in_settings
from pipelines.artifacts.hash_cache import cached_hash
from pipelines.artifacts.layout import Layout
from pipelines.artifacts.manifest import read_manifest
from pipelines.config import Config
from pipelines.errors import ArtifactError, ConfigError, CorpusError


def hash_input_files(config: Config, layout: Layout) -> dict[str, str]:
    """Hash every file of the user that preprocessing reads.

    Returns:
        Role in the manifest -> SHA-256: `train.src`, `preprocess.source_vocab`.

    Raises:
        CorpusError: A text is missing, and no manifest has its hash.
        ConfigError: A vocabulary or a model is missing, and no manifest has its hash.
    """
    hashes = {
        role: _hash(layout, role, name)
        for split, pairs in config.data.splits().items()
        for number, files in enumerate(pairs, start=1)
        for role, name in zip(corpus_roles(split, number), files, strict=True)
    }
    return hashes | _hash_own_files(config, layout)


def missing_files(config: Config, layout: Layout) -> list[str]:
    """Names of the user's files that are missing, in the order of the settings."""
    corpora = (pair for pairs in config.data.splits().values() for pair in pairs)
    names = [name for pair in corpora for name in pair]
    names += config.preprocess.input_files().values()
    return [name for name in names if not (layout.root / name).is_file()]


def hash_references(config: Config, layout: Layout) -> dict[str, str]:
    """Hash the target files of the split: `reference`, `reference.2` and so on."""
    hashes = hash_input_files(config, layout)
    corpora = range(1, len(config.data.splits()[layout.split]) + 1)
    return {
        "reference" if number == 1 else f"reference.{number}": hashes[
            corpus_roles(layout.split, number)[1]
        ]
        for number in corpora
    }


def corpus_roles(split: str, number: int) -> tuple[str, str]:
    """Names of a source and a target file of the user among a manifest's inputs.

    Args:
        split: Name of the split.
        number: Place of the two files among the split's corpora, from 1.

    Returns:
        `train.src` and `train.tgt` for the first, `train.2.src` and so on after it.
    """
    corpus = split if number == 1 else f"{split}.{number}"
    return f"{corpus}.src", f"{corpus}.tgt"


def _hash_own_files(config: Config, layout: Layout) -> dict[str, str]:
    """Hash the user's vocabularies and models."""
    hashes: dict[str, str] = {}
    for name, path in config.preprocess.input_files().items():
        role = f"preprocess.{name}"
        try:
            hashes[role] = _hash(layout, role, path)
        except CorpusError as error:
            raise ConfigError(error.message, hint=f"check {role} in s2s.toml") from None
    return hashes


def _hash(layout: Layout, role: str, name: str) -> str:
    """Hash a file of the user, or look up the hash of one that is gone."""
    path = layout.root / name
    if not path.is_file():
        try:
            return read_manifest(layout.preprocess).inputs[role]
        except (ArtifactError, KeyError):
            raise CorpusError(
                f"{path} not found", hint="check [data] in s2s.toml"
            ) from None
    with named_in_settings():
        return cached_hash(path, layout)

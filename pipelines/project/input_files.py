"""The user's files as inputs of stages: their roles in a manifest, and their hashes.

A hash is remembered by size and time, and by the manifest of what was made of the file,
which may be gone by then.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from pipelines.artifacts.corpus import file_stamp, hash_file, named_in_settings
from pipelines.artifacts.files import write_atomic
from pipelines.artifacts.layout import HASHES, Layout
from pipelines.artifacts.manifest import read_manifest
from pipelines.config import Config
from pipelines.errors import ArtifactError, ConfigError, CorpusError


def hash_input_files(config: Config, layout: Layout) -> dict[str, str]:
    """Hash every file of the user that preprocessing reads.

    Returns:
        Role in the manifest -> SHA-256: `train.src`, `preprocess.source_vocab`.

    Raises:
        CorpusError: A text is missing and no manifest remembers it.
        ConfigError: The same of a vocabulary or a model.
    """
    inputs = {
        role: _hash(layout, role, name)
        for split, pairs in config.data.splits().items()
        for number, files in enumerate(pairs, start=1)
        for role, name in zip(corpus_roles(split, number), files, strict=True)
    }
    return inputs | _own_inputs(config, layout)


def cache_hashes(hashes: Mapping[str, str], layout: Layout) -> None:
    """Store hashes that were computed elsewhere: `file_stamp` -> SHA-256."""
    memory = layout.state / HASHES
    _write_memory(memory, _read_memory(memory) | dict(hashes))


def missing_files(config: Config, layout: Layout) -> list[str]:
    """Names of the user's files that are not there, in order."""
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
    """What a manifest's inputs call a source and a target file of the user.

    Args:
        split: Name of the split.
        number: Place of the two files among the split's corpora, from 1.

    Returns:
        `train.src` and `train.tgt` for the first, `train.2.src` and so on after it.
    """
    corpus = split if number == 1 else f"{split}.{number}"
    return f"{corpus}.src", f"{corpus}.tgt"


def _own_inputs(config: Config, layout: Layout) -> dict[str, str]:
    """Hashes of the user's vocabularies and models."""
    inputs: dict[str, str] = {}
    for name, path in config.preprocess.input_files().items():
        key = f"preprocess.{name}"
        try:
            inputs[key] = _hash(layout, key, path)
        except CorpusError as error:
            raise ConfigError(error.message, hint=f"check {key} in s2s.toml") from None
    return inputs


def _hash(layout: Layout, role: str, name: str) -> str:
    """Hash a user's file; remembered by size and time, and by the last manifest."""
    path = layout.root / name
    if not path.is_file():
        try:  # the text may be gone once it is preprocessed
            return read_manifest(layout.preprocess).inputs[role]
        except (ArtifactError, KeyError):
            raise CorpusError(
                f"{path} not found", hint="check [data] in s2s.toml"
            ) from None
    stamp = file_stamp(path)
    memory = layout.state / HASHES
    known = _read_memory(memory)
    if stamp not in known:
        with named_in_settings():
            known[stamp] = hash_file(path)
        if not layout.read_only:
            _write_memory(memory, known)
    return known[stamp]


def _read_memory(path: Path) -> dict[str, str]:
    try:
        known = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _write_memory(path: Path, known: Mapping[str, str]) -> None:
    try:
        path.parent.mkdir(exist_ok=True)
        write_atomic(path, json.dumps(known, indent=1).encode())
    except OSError:  # a read-only project only pays for hashing again
        return

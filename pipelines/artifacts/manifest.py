"""The manifest: a folder's files, and the settings and inputs it was made from.

Written last, so its presence means that the folder is complete. Owns `manifest.json` of
stages and checkpoints, the fingerprint, and the check of a folder against its manifest.
"""

import json
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from pipelines.artifacts.files import sha256_bytes, sha256_file, write_atomic
from pipelines.artifacts.layout import MANIFEST
from pipelines.errors import (
    CorruptArtifactError,
    MissingArtifactError,
    VersionError,
)

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Output:
    """One file of a folder."""

    num_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """Content of `manifest.json`."""

    stage: str
    fingerprint: str
    settings: Mapping[str, Any]
    """The settings that the fingerprint covers."""
    inputs: Mapping[str, str]
    """Name of an input -> its fingerprint (a stage) or SHA-256 (a file)."""
    counts: Mapping[str, Any]
    outputs: Mapping[str, Output] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION


def fingerprint(
    stage: str, settings: Mapping[str, Any], inputs: Mapping[str, str]
) -> str:
    """SHA-256 of the settings and inputs that decide a result; no times or hosts."""
    return sha256_bytes(
        _canonical([SCHEMA_VERSION, stage, dict(settings), dict(inputs)])
    )


def write_manifest(folder: Path, manifest: Manifest) -> Manifest:
    """Hash every file below `folder` and write `manifest.json` last.

    Args:
        folder: The complete folder.
        manifest: All but its outputs; its environment is extended.

    Returns:
        The manifest as written.
    """
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    outputs = {
        str(p.relative_to(folder)): Output(p.stat().st_size, sha256_file(p))
        for p in files
        if p != folder / MANIFEST
    }
    versions = {**environment(), **manifest.environment}
    complete = replace(manifest, outputs=outputs, environment=versions)
    content = _to_json(complete)
    content["sha256"] = sha256_bytes(_canonical(content))
    write_atomic(folder / MANIFEST, _to_bytes(content))
    return complete


def read_manifest(folder: Path) -> Manifest:
    """Read and check `manifest.json`.

    Raises:
        MissingArtifactError: The folder is missing or incomplete.
        CorruptArtifactError: The manifest is damaged.
        VersionError: Another version of s2s wrote it in another format.
    """
    path = folder / MANIFEST
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise MissingArtifactError(f"{path} not found") from None
    try:
        content = json.loads(data)
        as_written = _to_bytes(content) == data  # two texts may be one number
        recorded = content.pop("sha256")
        version = content["schema_version"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptArtifactError(f"{path} is damaged: {error}") from error
    if version != SCHEMA_VERSION:
        raise VersionError(
            f"{path} has format {version}, this s2s reads {SCHEMA_VERSION}",
            hint="run the stage again, or use the version of s2s that wrote it",
        )
    if not as_written or sha256_bytes(_canonical(content)) != recorded:
        raise CorruptArtifactError(f"{path} is damaged: its own hash differs")
    outputs = {
        name: Output(entry["bytes"], entry["sha256"])
        for name, entry in content.pop("outputs").items()
    }
    return Manifest(**content, outputs=outputs)


def damaged_files(folder: Path, *, leave_out: str = "\0") -> list[str]:
    """Compare every file of a folder with its manifest.

    Args:
        folder: Folder of a stage, or a checkpoint.
        leave_out: Prefix of the names of files that are not checked.

    Returns:
        One line for each file that is missing, of another size or of other content,
        with its path; empty where the folder is sound.
    """
    try:
        manifest = read_manifest(folder)
    except (CorruptArtifactError, VersionError) as error:
        return [error.message]
    problems: list[str] = []
    for name, output in manifest.outputs.items():
        path = folder / name
        if name.startswith(leave_out):
            continue
        if not path.is_file():
            problems.append(f"{path} is missing")
        elif (size := path.stat().st_size) != output.num_bytes:
            problems.append(f"{path} has {size} bytes, expected {output.num_bytes}")
        elif sha256_file(path) != output.sha256:
            problems.append(f"{path} is damaged: its SHA-256 differs")
    return problems


def require_sound(folder: Path, *, leave_out: str = "\0") -> Manifest:
    """Read a folder's manifest and check every file against it.

    Arguments as for `damaged_files`.

    Raises:
        MissingArtifactError: There is no manifest.
        CorruptArtifactError: A file differs; the message names it.
    """
    manifest = read_manifest(folder)
    if problems := damaged_files(folder, leave_out=leave_out):
        raise CorruptArtifactError(problems[0], hint="s2s verify lists all damage")
    return manifest


@cache
def environment() -> dict[str, str]:
    """Versions that are needed to reproduce a result."""
    names = ("s2s", "torch", "numpy", "sacremoses", "sentencepiece", "sacrebleu")
    versions = {"python": platform.python_version(), "platform": sys.platform}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "unknown"
    return versions


def _to_json(manifest: Manifest) -> dict[str, Any]:
    return {
        "schema_version": manifest.schema_version,
        "stage": manifest.stage,
        "fingerprint": manifest.fingerprint,
        "settings": dict(manifest.settings),
        "inputs": dict(manifest.inputs),
        "counts": dict(manifest.counts),
        "outputs": {
            name: {"bytes": output.num_bytes, "sha256": output.sha256}
            for name, output in manifest.outputs.items()
        },
        "environment": dict(manifest.environment),
    }


def _to_bytes(content: object) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def _canonical(content: object) -> bytes:
    return json.dumps(
        content, sort_keys=True, ensure_ascii=False, separators=(",", ":")
    ).encode()

"""The table of stages: what decides each one's result, and which are up to date.

A stage's identity is the fingerprint of its settings and of its inputs' identities, so
a change shows in every stage after it and in none before. Reads manifests only; running
stages is `pipelines.run`.
"""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from pipelines.artifacts.corpus import hash_file
from pipelines.artifacts.files import write_atomic
from pipelines.artifacts.layout import RUN, STAGES, Layout
from pipelines.artifacts.manifest import Manifest, fingerprint, read_manifest
from pipelines.artifacts.run_record import (
    FORKED_FROM,
    RunRecord,
    free_settings,
    read_record,
)
from pipelines.config import Config
from pipelines.errors import ArtifactError, CorpusError, MissingArtifactError


class State(StrEnum):
    """How a stage stands."""

    FRESH = "fresh"
    STALE = "stale"
    MISSING = "missing"
    INTERRUPTED = "interrupted"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class Identity:
    """All that decides a stage's result."""

    settings: Mapping[str, Any]
    inputs: Mapping[str, str]
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Standing:
    """How one stage stands, and why."""

    stage: str
    state: State
    reason: str = ""


def planned_stages(config: Config) -> tuple[str, ...]:
    """The stages of a project: without a test split it ends with training."""
    return STAGES if config.data.test else STAGES[:3]


def identity(stage: str, config: Config, layout: Layout) -> Identity:
    """What a stage's manifest has to say to be up to date.

    Raises:
        CorpusError: A file of the user is missing and no manifest remembers it.
    """
    settings = _SETTINGS[stage](config)
    inputs = _raw_inputs(config, layout) if stage == "preprocess" else {}
    if stage == "score":
        inputs = {"reference": _raw_inputs(config, layout)["test.tgt"]}
    if stage != "preprocess":
        before = STAGES[STAGES.index(stage) - 1]
        inputs[before] = identity(before, config, layout).fingerprint
    if stage == "train":
        found = read_record(layout.train)
        if (
            found is not None
            and found.forked_from is not None
            and found.key == RunRecord(settings, inputs).key
        ):
            inputs[FORKED_FROM] = str(found.forked_from)
    return Identity(settings, inputs, fingerprint(stage, settings, inputs))


def new_manifest(
    stage: str,
    config: Config,
    layout: Layout,
    counts: Mapping[str, Any],
    *,
    arithmetic: Mapping[str, str] | None = None,
) -> Manifest:
    """A manifest for a stage's folder, yet without its outputs.

    Args:
        stage: Its name.
        config: The project's settings.
        layout: Its folders.
        counts: What the stage counted.
        arithmetic: What rounding depends on, for a stage that computes.
    """
    found = identity(stage, config, layout)
    return Manifest(
        stage,
        found.fingerprint,
        found.settings,
        found.inputs,
        counts,
        environment=arithmetic or {},
    )


def standing(stage: str, config: Config, layout: Layout) -> Standing:
    """How one stage stands."""
    folder = layout.stage(stage)
    try:
        manifest = read_manifest(folder)
    except MissingArtifactError:
        if (folder / RUN).exists():
            return Standing(stage, State.INTERRUPTED, _unfinished(config, layout))
        return Standing(stage, State.MISSING)
    except ArtifactError as error:
        return Standing(stage, State.DAMAGED, error.message)
    wanted = identity(stage, config, layout)
    if manifest.fingerprint == wanted.fingerprint:
        return Standing(stage, State.FRESH)
    changed = "; ".join(differences(manifest, wanted))
    reason = changed or "written by another version of s2s"
    return Standing(stage, State.STALE, reason)


def standings(config: Config, layout: Layout) -> list[Standing]:
    """How all stages of a project stand."""
    return [standing(stage, config, layout) for stage in planned_stages(config)]


def wanted_run(config: Config, layout: Layout) -> RunRecord:
    """The training that the settings ask for."""
    found = identity("train", config, layout)
    inputs = {k: value for k, value in found.inputs.items() if k != FORKED_FROM}
    return RunRecord(found.settings, inputs)


def run_differences(found: RunRecord, wanted: RunRecord) -> list[str]:
    """One line for each change that makes another training of it."""
    free = free_settings(found.settings) & free_settings(wanted.settings)
    return differences(found, wanted, free=free)


def differences(
    found: Manifest | RunRecord,
    wanted: Identity | RunRecord,
    *,
    free: Collection[str] = (),
) -> list[str]:
    """One line for each setting and each input that changed, but for the free ones."""
    keys = sorted((set(found.settings) | set(wanted.settings)).difference(free))
    changed = [
        f"{key}: {found.settings.get(key)!r} -> {wanted.settings.get(key)!r}"
        for key in keys
        if found.settings.get(key) != wanted.settings.get(key)
    ]
    names = sorted((set(found.inputs) | set(wanted.inputs)) - {FORKED_FROM})
    changed += [
        f"{name} changed"
        for name in names
        if found.inputs.get(name) != wanted.inputs.get(name)
    ]
    return changed


def _unfinished(config: Config, layout: Layout) -> str:
    found = read_record(layout.train)
    changed = (
        run_differences(found, wanted_run(config, layout)) if found is not None else []
    )
    return "; ".join(["training has not ended", *changed])


def _sections(*names: str) -> Callable[[Config], dict[str, Any]]:
    def settings(config: Config) -> dict[str, Any]:
        return {
            f"{name}.{key}": value
            for name in names
            for key, value in getattr(config, name).fingerprinted().items()
        }

    return settings


def _preprocess_settings(config: Config) -> dict[str, Any]:
    languages = {
        "data.source_lang": config.data.source_lang,
        "data.target_lang": config.data.target_lang,
    }
    return languages | _sections("preprocess")(config)


_SETTINGS: Mapping[str, Callable[[Config], dict[str, Any]]] = {
    "preprocess": _preprocess_settings,
    "binarize": _sections("binarize"),
    "train": _sections("model", "train"),
    "translate": _sections("translate"),
    "score": _sections("score"),
}


def _raw_inputs(config: Config, layout: Layout) -> dict[str, str]:
    inputs: dict[str, str] = {}
    for split, files in config.data.splits().items():
        for side, name in zip(("src", "tgt"), files, strict=True):
            inputs[f"{split}.{side}"] = _raw_hash(layout, f"{split}.{side}", name)
    return inputs | _own_inputs(config, layout)


def _own_inputs(config: Config, layout: Layout) -> dict[str, str]:
    """Hashes of the user's vocabularies and models, which have to be there."""
    inputs: dict[str, str] = {}
    for name, path in config.preprocess.input_files().items():
        key = f"preprocess.{name}"
        if not (layout.root / path).is_file():
            raise CorpusError(
                f"{layout.root / path} not found", hint=f"check {key} in s2s.toml"
            )
        inputs[key] = _raw_hash(layout, key, path)
    return inputs


def _raw_hash(layout: Layout, role: str, name: str) -> str:
    """Hash a user's file; remembered by size and time, and by the last manifest."""
    path = layout.root / name
    if not path.is_file():
        try:  # the text may be gone once it is preprocessed
            return read_manifest(layout.preprocess).inputs[role]
        except (ArtifactError, KeyError):
            raise CorpusError(
                f"{path} not found", hint="check [data] in s2s.toml"
            ) from None
    status = path.stat()
    stamp = f"{path.resolve()}|{status.st_size}|{status.st_mtime_ns}|{status.st_ino}"
    memory = layout.state / "hashes.json"
    known = _read_memory(memory)
    if stamp not in known:
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

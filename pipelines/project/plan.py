"""The table of stages: what decides each one's result, and which are up to date.

A stage's identity is the fingerprint of its settings and of its inputs' identities, so
a change shows in every stage after it and in none before. Reads manifests only; running
stages is `pipelines.run`.
"""

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pipelines.artifacts.layout import RUN, STAGES, TEST, Layout
from pipelines.artifacts.manifest import Manifest, fingerprint, read_manifest
from pipelines.artifacts.run_record import (
    FORKED_FROM,
    MINOR_LIMITS,
    RunRecord,
    free_settings,
    read_record,
)
from pipelines.config import Config
from pipelines.errors import (
    ArtifactError,
    ConfigError,
    CorpusError,
    MissingArtifactError,
)
from pipelines.project.input_files import (
    hash_input_files,
    hash_references,
    missing_files,
)

_GONE = (CorpusError, ConfigError)
"""What `identity` raises where a file of the user is missing."""


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
class StageStatus:
    """How one stage stands, and why."""

    stage: str
    state: State
    reason: str = ""


def planned_stages(config: Config, split: str = TEST) -> tuple[str, ...]:
    """The stages of a project: without the split it ends with training."""
    return STAGES if split in config.data.splits() else STAGES[:3]


def identity(stage: str, config: Config, layout: Layout) -> Identity:
    """What a stage's manifest has to say to be up to date.

    Raises:
        CorpusError: A file of the user is missing and no manifest remembers it.
        ConfigError: A vocabulary or model that a setting names is missing.
    """
    settings = _SETTINGS[stage](config)
    inputs = hash_input_files(config, layout) if stage == "preprocess" else {}
    if stage == "score":
        inputs = hash_references(config, layout)
    if stage in ("translate", "score") and layout.split != TEST:
        inputs["split"] = layout.split
    if stage == "score":
        inputs["translate"] = _translation_to_score(config, layout)
    elif stage != "preprocess":
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


def standing(stage: str, config: Config, layout: Layout) -> StageStatus:
    """How one stage stands."""
    folder = layout.stage(stage)
    try:
        manifest = read_manifest(folder)
    except MissingArtifactError:
        if (folder / RUN).exists():
            return StageStatus(stage, State.INTERRUPTED, _unfinished(config, layout))
        return StageStatus(stage, State.MISSING)
    except ArtifactError as error:
        return StageStatus(stage, State.DAMAGED, error.message)
    try:
        wanted = identity(stage, config, layout)
    except _GONE as error:
        return _standing_without_text(manifest, config, layout, error.message)
    if manifest.fingerprint == wanted.fingerprint:
        gone = missing_files(config, layout) if stage == "preprocess" else []
        reason = f"{', '.join(gone)} not found: taken as unchanged" if gone else ""
        return StageStatus(stage, State.FRESH, reason)
    changed = "; ".join(differences(manifest, wanted))
    reason = changed or "written by another version of s2s"
    return StageStatus(stage, State.STALE, reason)


def stage_statuses(config: Config, layout: Layout) -> list[StageStatus]:
    """How all stages of a project stand."""
    stages = planned_stages(config, layout.split)
    return [standing(stage, config, layout) for stage in stages]


def settings_of_translation(config: Config, layout: Layout) -> list[str]:
    """One line for each setting with which the translation there is was not made.

    Empty where it was made with these settings, is not there, or belongs to another
    model: then it is made again before it is scored.
    """
    wanted = identity("translate", config, layout)
    found = _translation_of_this_model(wanted, layout)
    return differences(found, wanted) if found else []


def changed_since_training(config: Config, layout: Layout) -> list[str]:
    """One line for each change since the model in `train/` was trained.

    Compares what manifests and the run record say; hashes no text of the user.
    """
    changed: list[str] = []
    made: dict[str, str] = {}
    for stage in ("preprocess", "binarize"):
        try:
            manifest = read_manifest(layout.stage(stage))
        except ArtifactError:
            continue
        made[stage] = manifest.fingerprint
        changed += _changed_settings(manifest.settings, _SETTINGS[stage](config))
    record = read_record(layout.train)
    if record is None:
        return changed
    if made.get("binarize", record.inputs["binarize"]) != record.inputs["binarize"]:
        changed.append("the training data changed")
    wanted = _SETTINGS["train"](config)
    return changed + _changed_settings(record.settings, wanted, free=MINOR_LIMITS)


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
    changed = _changed_settings(found.settings, wanted.settings, free=free)
    names = sorted((set(found.inputs) | set(wanted.inputs)) - {FORKED_FROM})
    changed += [
        f"{name} changed"
        for name in names
        if found.inputs.get(name) != wanted.inputs.get(name)
    ]
    return changed


def _changed_settings(
    found: Mapping[str, Any], wanted: Mapping[str, Any], *, free: Collection[str] = ()
) -> list[str]:
    """One line for each changed setting; one that is not recorded has its default."""
    changed: list[str] = []
    for key in sorted((set(found) | set(wanted)).difference(free)):
        before, now = (each.get(key, _default(key)) for each in (found, wanted))
        if before != now:
            changed.append(f"{key}: {before!r} -> {now!r}")
    return changed


def _default(key: str) -> Any:
    section, _, name = key.partition(".")
    fields = type(getattr(Config(), section)).model_fields
    return fields[name].default if name in fields else None


def _unfinished(config: Config, layout: Layout) -> str:
    found, changed = read_record(layout.train), list[str]()
    if found is not None:
        try:
            wanted = wanted_run(config, layout)
        except _GONE:
            wanted = RunRecord(_SETTINGS["train"](config), found.inputs)
        changed = run_differences(found, wanted)
    return "; ".join(["training has not ended", *changed])


def _standing_without_text(
    manifest: Manifest, config: Config, layout: Layout, why: str
) -> StageStatus:
    """How a stage stands whose text is gone: by settings and by the stage before."""
    stage = manifest.stage
    changed = _changed_settings(manifest.settings, _SETTINGS[stage](config))
    if stage == "preprocess":
        changed += _changed_own_files(manifest, config)
    before = STAGES[max(0, STAGES.index(stage) - 1)]
    with suppress(ArtifactError):  # the stage before may be gone, too
        made = read_manifest(layout.stage(before)).fingerprint
        if manifest.inputs.get(before, made) != made:
            changed.append(f"{before} changed")
    if changed:
        return StageStatus(stage, State.STALE, "; ".join(changed))
    return StageStatus(stage, State.FRESH, f"{why}: only settings are compared")


def _changed_own_files(manifest: Manifest, config: Config) -> list[str]:
    """One line for each vocabulary and model that was named anew, or no longer is."""
    named = {f"preprocess.{name}" for name in config.preprocess.input_files()}
    used = {name for name in manifest.inputs if name.startswith("preprocess.")}
    return [f"{name} changed" for name in sorted(named ^ used)]


def _translation_of_this_model(wanted: Identity, layout: Layout) -> Manifest | None:
    """The manifest of a translation by the trained model, by whichever settings."""
    try:
        found = read_manifest(layout.translate)
    except ArtifactError:
        return None
    return found if dict(found.inputs) == dict(wanted.inputs) else None


def _translation_to_score(config: Config, layout: Layout) -> str:
    wanted = identity("translate", config, layout)
    return (_translation_of_this_model(wanted, layout) or wanted).fingerprint


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

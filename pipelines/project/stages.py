"""The table of stages: the settings and inputs that decide each one's result.

The fingerprint of a stage covers its settings and the fingerprint of the stage before,
so a change shows in every stage after it and in none before. Reads manifests and the
record of the training; running stages is `pipelines.run`.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.artifacts.layout import STAGES, TEST, Layout
from pipelines.artifacts.manifest import Manifest, fingerprint, read_manifest
from pipelines.artifacts.run_record import FORKED_FROM, RunRecord, read_record
from pipelines.config import Config
from pipelines.errors import ArtifactError
from pipelines.project.input_files import hash_input_files, hash_references
from pipelines.project.run_identity import run_key


@dataclass(frozen=True, slots=True)
class Stage:
    """What decides the result of one stage."""

    name: str
    previous: str | None
    """The stage before; None for the first one."""
    settings: Callable[[Config], dict[str, Any]]
    inputs: Callable[[Config, Layout], dict[str, str]]
    """Name of an input -> its fingerprint (a stage) or SHA-256 (a file)."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The settings and inputs of one stage in one project."""

    settings: Mapping[str, Any]
    inputs: Mapping[str, str]
    fingerprint: str


def project_stages(config: Config, split: str = TEST) -> tuple[str, ...]:
    """The stages of a project: without the split it ends with training."""
    return STAGES if split in config.data.splits() else STAGES[:3]


def identity(stage: str, config: Config, layout: Layout) -> Identity:
    """What a stage's manifest must record to be up to date.

    Raises:
        CorpusError: A file of the user is missing, and no manifest has its hash.
        ConfigError: A vocabulary or model that a setting names is missing.
    """
    settings = TABLE[stage].settings(config)
    inputs = TABLE[stage].inputs(config, layout)
    return Identity(settings, inputs, fingerprint(stage, settings, inputs))


def new_manifest(
    stage: str,
    config: Config,
    layout: Layout,
    counts: Mapping[str, Any],
    *,
    arithmetic: Mapping[str, str] | None = None,
) -> Manifest:
    """A manifest for a stage's folder, its outputs still to be added.

    Args:
        stage: Name of the stage.
        config: The project's settings.
        layout: The project's folders.
        counts: Numbers that the stage reports.
        arithmetic: What rounding depends on, for a stage that computes.
    """
    own = identity(stage, config, layout)
    return Manifest(
        stage,
        own.fingerprint,
        own.settings,
        own.inputs,
        counts,
        environment=arithmetic or {},
    )


def stage_changes(recorded: Manifest, wanted: Identity) -> list[str]:
    """One line for each reason why a stage is stale; empty where it is up to date."""
    if recorded.fingerprint == wanted.fingerprint:
        return []
    return differences(recorded, wanted) or ["written by another version of s2s"]


def differences(
    recorded: Manifest | RunRecord,
    wanted: Identity | RunRecord,
    *,
    free: Collection[str] = (),
) -> list[str]:
    """One line for each setting and each input that changed, except for free ones."""
    changed = setting_changes(recorded.settings, wanted.settings, free=free)
    before, now = recorded.inputs, wanted.inputs
    names = sorted({*before, *now} - {FORKED_FROM})
    changed += [f"{n} changed" for n in names if before.get(n) != now.get(n)]
    return changed


def setting_changes(
    recorded: Mapping[str, Any],
    wanted: Mapping[str, Any],
    *,
    free: Collection[str] = (),
) -> list[str]:
    """One line for each changed setting; one that is not recorded has its default."""
    changed: list[str] = []
    for key in sorted({*recorded, *wanted}.difference(free)):
        before, now = (each.get(key, _default(key)) for each in (recorded, wanted))
        if before != now:
            changed.append(f"{key}: {before!r} -> {now!r}")
    return changed


def _default(key: str) -> Any:
    section, _, name = key.partition(".")
    fields = type(getattr(Config(), section)).model_fields
    return fields[name].default if name in fields else None


def translation_by_this_model(wanted: Identity, layout: Layout) -> Manifest | None:
    """The manifest of the translation by the trained model, whatever its settings."""
    try:
        manifest = read_manifest(layout.translate)
    except ArtifactError:
        return None
    return manifest if dict(manifest.inputs) == dict(wanted.inputs) else None


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


def _binarize_inputs(config: Config, layout: Layout) -> dict[str, str]:
    return {"preprocess": identity("preprocess", config, layout).fingerprint}


def _train_inputs(config: Config, layout: Layout) -> dict[str, str]:
    """The shards, and the run from which the wanted training was forked, if any."""
    inputs = {"binarize": identity("binarize", config, layout).fingerprint}
    record = read_record(layout.train)
    if record is None or record.forked_from is None:
        return inputs
    if record.key == run_key(TABLE["train"].settings(config), inputs):
        inputs[FORKED_FROM] = str(record.forked_from)
    return inputs


def _translate_inputs(config: Config, layout: Layout) -> dict[str, str]:
    return _split_input(layout) | {
        "train": identity("train", config, layout).fingerprint
    }


def _score_inputs(config: Config, layout: Layout) -> dict[str, str]:
    """The references, and the translation on disk if it is by the trained model."""
    references = hash_references(config, layout)
    wanted = identity("translate", config, layout)
    translation = translation_by_this_model(wanted, layout) or wanted
    return references | _split_input(layout) | {"translate": translation.fingerprint}


def _split_input(layout: Layout) -> dict[str, str]:
    return {} if layout.split == TEST else {"split": layout.split}


TABLE: Mapping[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage("preprocess", None, _preprocess_settings, hash_input_files),
        Stage("binarize", "preprocess", _sections("binarize"), _binarize_inputs),
        Stage("train", "binarize", _sections("model", "train"), _train_inputs),
        Stage("translate", "train", _sections("translate"), _translate_inputs),
        Stage("score", "translate", _sections("score"), _score_inputs),
    )
}

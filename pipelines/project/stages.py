"""The table of stages: the settings and inputs that decide each one's result.

The fingerprint of a stage covers its settings and the fingerprint of the stage before,
so a change shows in every stage after it and in none before. Reads manifests and the
record of the training; running stages is `pipelines.run`.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
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


def project_stages(config: Config, split: str = TEST) -> tuple[str, ...]:
    """The stages of a project: without the split it ends with training."""
    return STAGES if split in config.data.splits() else STAGES[:3]


def identity(stage: str, config: Config, layout: Layout) -> Manifest:
    """The manifest of a stage that is up to date, without counts and outputs.

    Raises:
        CorpusError: A file of the user is missing, and no manifest has its hash.
        ConfigError: A vocabulary or model that a setting names is missing.
    """
    settings = TABLE[stage].settings(config)
    inputs = TABLE[stage].inputs(config, layout)
    key = fingerprint(stage, settings, inputs)
    return Manifest(stage, key, settings, inputs, counts={})


def wanted_run(config: Config, layout: Layout) -> RunRecord:
    """The training run that the settings ask for."""
    settings = TABLE["train"].settings(config)
    inputs = {"binarize": identity("binarize", config, layout).fingerprint}
    return RunRecord(run_key(settings, inputs), settings, inputs)


def new_manifest(
    stage: str,
    config: Config,
    layout: Layout,
    counts: Mapping[str, Any],
    *,
    arithmetic: Mapping[str, str] | None = None,
) -> Manifest:
    """A manifest for a stage's folder, its outputs still to be added.

    `arithmetic` says what the rounding of a stage that computes depends on.
    """
    own = identity(stage, config, layout)
    return replace(own, counts=counts, environment=arithmetic or {})


def stage_changes(recorded: Manifest, wanted: Manifest) -> list[str]:
    """One line for each reason why a stage is stale; empty where it is up to date."""
    if recorded.fingerprint == wanted.fingerprint:
        return []
    return differences(recorded, wanted) or ["written by another version of s2s"]


def differences(
    recorded: Manifest | RunRecord,
    wanted: Manifest | RunRecord,
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


def translation_by_this_model(wanted: Manifest, layout: Layout) -> Manifest | None:
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
    """The shards, and the run from which the wanted one was forked, if it was."""
    wanted, record = wanted_run(config, layout), read_record(layout.train)
    inputs = dict(wanted.inputs)
    if record is not None and record.forked_from and record.key == wanted.key:
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

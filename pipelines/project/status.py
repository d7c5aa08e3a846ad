"""Which stages of a project are up to date, and what changed since they were run.

Imports no torch: `s2s status` answers at once.
"""

from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum

from pipelines.artifacts.layout import RUN, Layout
from pipelines.artifacts.manifest import Manifest, read_manifest
from pipelines.artifacts.run_record import RunRecord, read_record
from pipelines.config import Config
from pipelines.errors import (
    ArtifactError,
    ConfigError,
    CorpusError,
    MissingArtifactError,
)
from pipelines.project.input_files import missing_files
from pipelines.project.run_identity import MINOR_LIMITS, free_settings
from pipelines.project.stages import (
    TABLE,
    differences,
    identity,
    project_stages,
    setting_changes,
    stage_changes,
    translation_by_this_model,
    wanted_run,
)

_TEXT_STAGES = ("preprocess", "binarize")


class StageState(StrEnum):
    """State of a stage's folder."""

    FRESH = "fresh"
    STALE = "stale"
    MISSING = "missing"
    INTERRUPTED = "interrupted"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class StageStatus:
    """State of one stage, and the reason."""

    stage: str
    state: StageState
    reason: str = ""


def stage_statuses(config: Config, layout: Layout) -> list[StageStatus]:
    """Status of every stage of a project."""
    stages = project_stages(config, layout.split)
    return [stage_status(stage, config, layout) for stage in stages]


def stage_status(stage: str, config: Config, layout: Layout) -> StageStatus:
    """Status of one stage."""
    folder = layout.stage(stage)
    try:
        manifest = read_manifest(folder)
    except MissingArtifactError:
        if (folder / RUN).exists():
            reasons = ["training has not ended", *changes_since_start(config, layout)]
            return StageStatus(stage, StageState.INTERRUPTED, "; ".join(reasons))
        return StageStatus(stage, StageState.MISSING)
    except ArtifactError as error:
        return StageStatus(stage, StageState.DAMAGED, error.message)
    try:
        wanted = identity(stage, config, layout)
    except (CorpusError, ConfigError) as error:  # a file of the user is missing
        return _status_without_text(manifest, config, layout, error.message)
    if changes := stage_changes(manifest, wanted):
        return StageStatus(stage, StageState.STALE, "; ".join(changes))
    missing = missing_files(config, layout) if stage == "preprocess" else []
    reason = f"{', '.join(missing)} not found: taken as unchanged" if missing else ""
    return StageStatus(stage, StageState.FRESH, reason)


def changes_since_translation(config: Config, layout: Layout) -> list[str]:
    """One line for each setting that changed since the translation was made.

    Empty where there is no translation, or one by another model: then it is made again
    before it is scored.
    """
    wanted = identity("translate", config, layout)
    translation = translation_by_this_model(wanted, layout)
    return differences(translation, wanted) if translation else []


def run_changes(recorded: RunRecord, config: Config, layout: Layout) -> list[str]:
    """One line for each change that makes the wanted run another one.

    Where the shards are stale, the changed settings of the text are named, too.
    """
    lines = _differences_of_runs(recorded, wanted_run(config, layout))
    if "binarize changed" not in lines:
        return lines
    causes: list[str] = []
    for stage in _TEXT_STAGES:
        try:
            manifest = read_manifest(layout.stage(stage))
        except ArtifactError:
            continue
        causes += stage_changes(manifest, identity(stage, config, layout))
    lines.remove("binarize changed")
    causes = [line for line in causes if line != "preprocess changed"]
    return lines + (causes or ["the training data changed"])


def changes_since_start(config: Config, layout: Layout) -> list[str]:
    """One line for each change since the unfinished training in `train/` began."""
    recorded = read_record(layout.train)
    if recorded is None:
        return []
    try:
        wanted = wanted_run(config, layout)
    except (CorpusError, ConfigError):  # a text is missing: compare settings alone
        wanted = replace(recorded, settings=TABLE["train"].settings(config))
    return _differences_of_runs(recorded, wanted)


def changes_since_training(config: Config, layout: Layout) -> list[str]:
    """One line for each change since the model in `train/` was trained.

    Compares what manifests and the run record say; hashes no text of the user.
    """
    changes: list[str] = []
    made: dict[str, str] = {}
    for stage in _TEXT_STAGES:
        try:
            manifest = read_manifest(layout.stage(stage))
        except ArtifactError:
            continue
        made[stage] = manifest.fingerprint
        changes += setting_changes(manifest.settings, TABLE[stage].settings(config))
    record = read_record(layout.train)
    if record is None:
        return changes
    if made.get("binarize", record.inputs["binarize"]) != record.inputs["binarize"]:
        changes.append("the training data changed")
    wanted = TABLE["train"].settings(config)
    return changes + setting_changes(record.settings, wanted, free=MINOR_LIMITS)


def _status_without_text(
    manifest: Manifest, config: Config, layout: Layout, reason: str
) -> StageStatus:
    """Status of a stage whose text is missing, by settings and the stage before."""
    stage = TABLE[manifest.stage]
    changes = setting_changes(manifest.settings, stage.settings(config))
    if stage.previous is None:
        changes += _renamed_own_files(manifest, config)
    else:
        with suppress(ArtifactError):  # the stage before may be missing, too
            made = read_manifest(layout.stage(stage.previous)).fingerprint
            if manifest.inputs.get(stage.previous, made) != made:
                changes.append(f"{stage.previous} changed")
    if changes:
        return StageStatus(stage.name, StageState.STALE, "; ".join(changes))
    reason = f"{reason}: only settings are compared"
    return StageStatus(stage.name, StageState.FRESH, reason)


def _renamed_own_files(manifest: Manifest, config: Config) -> list[str]:
    """One line for each own vocabulary or model that is new or no longer named."""
    named = {f"preprocess.{name}" for name in config.preprocess.input_files()}
    used = {name for name in manifest.inputs if name.startswith("preprocess.")}
    return [f"{name} changed" for name in sorted(named ^ used)]


def _differences_of_runs(recorded: RunRecord, wanted: RunRecord) -> list[str]:
    free = free_settings(recorded.settings) & free_settings(wanted.settings)
    return differences(recorded, wanted, free=free)

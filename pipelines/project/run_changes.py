"""The run that the settings ask for, and what changed since an earlier one.

Imports no torch: `s2s status` asks here.
"""

from dataclasses import replace

from pipelines.artifacts.layout import Layout
from pipelines.artifacts.manifest import read_manifest
from pipelines.artifacts.run_record import FORKED_FROM, RunRecord, read_record
from pipelines.config import Config
from pipelines.errors import ArtifactError, ConfigError, CorpusError
from pipelines.project.run_identity import MINOR_LIMITS, free_settings, run_key
from pipelines.project.stages import (
    TABLE,
    differences,
    identity,
    setting_changes,
    stage_changes,
)

_TEXT_STAGES = ("preprocess", "binarize")


def wanted_run(config: Config, layout: Layout) -> RunRecord:
    """The run that the settings ask for."""
    wanted = identity("train", config, layout)
    inputs = {k: value for k, value in wanted.inputs.items() if k != FORKED_FROM}
    return RunRecord(run_key(wanted.settings, inputs), wanted.settings, inputs)


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


def _differences_of_runs(recorded: RunRecord, wanted: RunRecord) -> list[str]:
    free = free_settings(recorded.settings) & free_settings(wanted.settings)
    return differences(recorded, wanted, free=free)

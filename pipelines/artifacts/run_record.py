"""`run.json`: which training a folder holds, and from where it was forked.

A training is resumed in its folder as long as what it depends on stays the same; limits
may change. A finished one is extended there when a limit rises. Owns that line between
the two.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from pipelines.artifacts.files import write_atomic
from pipelines.artifacts.layout import RUN
from pipelines.artifacts.manifest import fingerprint

FORKED_FROM, ARITHMETIC = "forked_from", "arithmetic"

_LIMITS = ("patience", "max_minutes", "keep_last", "keep_best")
"""Settings that may change when a training is resumed."""
_LENGTHS = ("max_epochs", "max_steps")
"""The same, unless the learning rate depends on them."""
MINOR_LIMITS = frozenset(f"train.{name}" for name in _LIMITS)
LIMITS = MINOR_LIMITS | {f"train.{name}" for name in _LENGTHS}
"""Settings that may rise when a finished training is extended."""


@dataclass(frozen=True, slots=True)
class ForkedFrom:
    """The earlier training, where one did not begin at zero: forked or extended."""

    run: str
    """Key of the earlier run."""
    step: int

    def __str__(self) -> str:
        return f"{self.run} at step {self.step}"


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What one training depends on."""

    settings: Mapping[str, Any]
    inputs: Mapping[str, str]
    forked_from: ForkedFrom | None = None
    arithmetic: Mapping[str, str] = field(default_factory=dict)
    """Device, precision and the like of its last process; decides rounding alone."""

    @property
    def key(self) -> str:
        """Name of the run, which stays the same however often it is resumed."""
        free = free_settings(self.settings)
        fixed = {k: value for k, value in self.settings.items() if k not in free}
        return fingerprint("run", fixed, self.inputs)[:12]


def free_settings(settings: Mapping[str, Any]) -> set[str]:
    """Names of the settings that may change when a training is resumed.

    With the schedule `cosine` the learning rate depends on the length of the training.
    """
    cosine = settings.get("train.schedule") == "cosine"
    return set(MINOR_LIMITS if cosine else LIMITS)


def write_record(folder: Path, record: RunRecord) -> None:
    """Write `run.json`."""
    content = {
        "run": record.key,
        "settings": dict(record.settings),
        "inputs": dict(record.inputs),
    }
    if record.forked_from is not None:
        content[FORKED_FROM] = asdict(record.forked_from)
    if record.arithmetic:
        content[ARITHMETIC] = dict(record.arithmetic)
    write_atomic(folder / RUN, (json.dumps(content, indent=2) + "\n").encode())


def record_arithmetic(folder: Path, arithmetic: Mapping[str, str]) -> None:
    """Add to `run.json` what its training computes with."""
    record = read_record(folder)
    assert record is not None, "a training's folder has a record"
    write_record(folder, replace(record, arithmetic=arithmetic))


def read_record(folder: Path) -> RunRecord | None:
    """Read `run.json`; None where there is none that can be read."""
    try:
        content = json.loads((folder / RUN).read_bytes())
        forked = content.get(FORKED_FROM)
        return RunRecord(
            dict(content["settings"]),
            dict(content["inputs"]),
            ForkedFrom(str(forked["run"]), int(forked["step"])) if forked else None,
            dict(content.get(ARITHMETIC, {})),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None

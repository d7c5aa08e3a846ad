"""`run.json`: the settings and inputs of the training that a folder holds.

Which of them make two trainings the same run, `pipelines.project.run_identity` says.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from pipelines.artifacts.files import write_atomic
from pipelines.artifacts.layout import RUN

FORKED_FROM, ARITHMETIC = "forked_from", "arithmetic"


@dataclass(frozen=True, slots=True)
class ForkedFrom:
    """The earlier run from which one was forked or extended."""

    run: str
    """Key of the earlier run."""
    step: int

    def __str__(self) -> str:
        return f"{self.run} at step {self.step}"


@dataclass(frozen=True, slots=True)
class RunRecord:
    """Content of `run.json`."""

    key: str
    """Name of the run, which stays the same however often it is resumed."""
    settings: Mapping[str, Any]
    inputs: Mapping[str, str]
    forked_from: ForkedFrom | None = None
    """None for a run that began at step 0."""
    arithmetic: Mapping[str, str] = field(default_factory=dict)
    """Device, precision and the like of the last process; affects rounding only."""


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
    """Replace the arithmetic in `run.json`."""
    record = read_record(folder)
    assert record is not None, "a training's folder has a record"
    write_record(folder, replace(record, arithmetic=arithmetic))


def read_record(folder: Path) -> RunRecord | None:
    """Read `run.json`; None where it is missing or damaged."""
    try:
        content = json.loads((folder / RUN).read_bytes())
        forked = content.get(FORKED_FROM)
        return RunRecord(
            str(content["run"]),
            dict(content["settings"]),
            dict(content["inputs"]),
            ForkedFrom(str(forked["run"]), int(forked["step"])) if forked else None,
            dict(content.get(ARITHMETIC, {})),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None

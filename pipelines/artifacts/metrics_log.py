"""`metrics.jsonl`: one line per report, with units in the keys; TensorBoard events too.

    {"step": 25, "kind": "train", "epoch": 0.2667, "loss_nats_per_token": 3.21, ...}
    {"step": 94, "kind": "valid", "perplexity": 12.3}

A resumed training starts from its checkpoint: lines of later steps are removed first,
so that no step is reported twice.
"""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.artifacts.files import write_atomic
from pipelines.artifacts.layout import EVENTS, METRICS
from pipelines.errors import ConfigError
from pipelines.wording import plural

log = logging.getLogger(__name__)


class MetricsLog:
    """Appends metrics by step.

    Args:
        folder: Folder of the training; None writes nothing.
        step: Step at which training starts or resumes; later lines are removed.
        tensorboard: Also write TensorBoard events into `tensorboard/`.

    Raises:
        ConfigError: TensorBoard is requested and not installed.
    """

    def __init__(
        self, folder: Path | None, *, step: int, tensorboard: bool = False
    ) -> None:
        self._path: Path | None = None
        self._events = None
        if folder is None:
            return
        self._path = folder / METRICS
        kept = [entry for entry in read_metrics(folder) if entry["step"] <= step]
        text = "".join(json.dumps(entry) + "\n" for entry in kept)
        write_atomic(self._path, text.encode())
        if tensorboard:
            self._events = _open_events(folder / EVENTS, step=step)

    def write(self, step: int, kind: str, metrics: Mapping[str, Any]) -> None:
        """Append one line.

        Args:
            step: Updates so far.
            kind: `train`, `valid` or `diverged`.
            metrics: Values by names with units, such as `loss_nats_per_token`.
        """
        if self._path is None:
            return
        line = json.dumps({"step": step, "kind": kind, **metrics})
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        if self._events is not None:
            for name, value in metrics.items():
                if isinstance(value, int | float):
                    self._events.add_scalar(f"{kind}/{name}", value, step)

    def close(self) -> None:
        """Close the TensorBoard file."""
        if self._events is not None:
            self._events.close()


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """Read the lines of `metrics.jsonl`; none where the file does not exist.

    Damaged lines are skipped and counted in a warning; half a last line, as a killed
    training leaves it, is skipped without one.
    """
    path = folder / METRICS
    if not path.exists():
        return []
    entries: list[dict[str, Any]] = []
    *lines, _half = path.read_bytes().split(b"\n")
    for line in lines:
        try:
            entry = json.loads(line)
            if isinstance(entry["step"], int):
                entries.append(entry)
        except (ValueError, TypeError, KeyError, RecursionError):
            continue
    if num_damaged := len(lines) - len(entries):
        log.warning(
            "%s: skipping %s that cannot be read", path, plural(num_damaged, "line")
        )
    return entries


def _open_events(folder: Path, *, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ConfigError(
            "train.tensorboard is set and TensorBoard is not installed",
            hint="pip install 's2s[tensorboard]'",
        ) from error
    return SummaryWriter(str(folder), purge_step=step + 1)

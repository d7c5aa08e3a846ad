"""`metrics.jsonl`: a line for each report, units in the keys; TensorBoard beside it.

A resumed run continues from its checkpoint: lines of later steps are cut off first, so
that no step stands twice.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.artifacts.files import write_atomic
from pipelines.artifacts.layout import EVENTS, METRICS
from pipelines.errors import ConfigError


class MetricsLog:
    """Writes figures by step.

    Args:
        folder: Of the training run; None writes nothing.
        step: Where the run starts; later lines are dropped.
        tensorboard: Write TensorBoard events into `tensorboard/` too.

    Raises:
        ConfigError: TensorBoard is asked for and not installed.
    """

    def __init__(
        self, folder: Path | None, *, step: int, tensorboard: bool = False
    ) -> None:
        self._path: Path | None = None
        self._events = None
        if folder is None:
            return
        self._path = folder / METRICS
        kept = [line for line in _read(self._path) if line["step"] <= step]
        text = "".join(json.dumps(line) + "\n" for line in kept)
        write_atomic(self._path, text.encode())
        if tensorboard:
            self._events = _open_events(folder / EVENTS, step=step)

    def write(self, step: int, kind: str, figures: Mapping[str, Any]) -> None:
        """Append one line.

        Args:
            step: Updates so far.
            kind: `train` or `valid`.
            figures: Names with units, such as `loss_nats_per_token`.
        """
        if self._path is None:
            return
        line = json.dumps({"step": step, "kind": kind, **figures})
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        if self._events is not None:
            for name, value in figures.items():
                if isinstance(value, int | float):
                    self._events.add_scalar(f"{kind}/{name}", value, step)

    def close(self) -> None:
        """Finish the TensorBoard file."""
        if self._events is not None:
            self._events.close()


def _read(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    lines: list[dict[str, Any]] = []
    for line in path.read_text(encoding="utf-8").split("\n"):
        try:
            entry = json.loads(line)
        except ValueError:  # the last line of a killed run may be cut
            continue
        if isinstance(entry, dict) and "step" in entry:
            lines.append(entry)
    return lines


def _open_events(folder: Path, *, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ConfigError(
            "train.tensorboard is set and TensorBoard is not installed",
            hint="pip install 's2s[tensorboard]'",
        ) from error
    return SummaryWriter(str(folder), purge_step=step + 1)

"""The mean of the weights of several checkpoints of one training.

    train/checkpoints/step-*/ -> a folder that translates by itself

No stage depends on an average, and no training resumes from one.
"""

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipelines.artifacts.checkpoint import (
    NAME_A_CHECKPOINT,
    TensorBundle,
    open_weights,
    require_model,
    write_average,
)
from pipelines.artifacts.checkpoint_folder import read_info, sound_checkpoints
from pipelines.artifacts.layout import (
    AVERAGE,
    CHECKPOINT,
    CHECKPOINTS,
    MODEL_INFO,
    TEXT,
)
from pipelines.artifacts.manifest import Manifest, read_manifest
from pipelines.errors import MissingArtifactError, S2SError, UsageError
from pipelines.progress import SILENT, Progress
from pipelines.wording import plural

log = logging.getLogger(__name__)

STEPS = "averaged_steps"
"""Key in `model.json` and in the manifest's counts."""

_VARYING = ("step", "validation", STEPS)
"""Keys that may differ between the `model.json` of two checkpoints of one training."""
_HASH_LENGTH = 16


@dataclass(frozen=True, slots=True)
class _Source:
    """A checkpoint to average."""

    path: Path
    manifest: Manifest
    info: Mapping[str, Any]

    @property
    def step(self) -> int:
        """Updates up to this checkpoint."""
        return int(self.info["step"])


def average_named(
    paths: Sequence[Path], output: Path, *, progress: Progress = SILENT
) -> Manifest:
    """Average the given checkpoints.

    Args:
        paths: At least two, of one training; their order does not matter.
        output: Folder to write.
        progress: Shows the tensors averaged.

    Returns:
        The manifest of the folder.

    Raises:
        UsageError: There are too few, they differ in kind, or `output` exists.
        MissingArtifactError: A path is no checkpoint.
        CorruptArtifactError: A checkpoint is damaged.
    """
    _require_several(len(paths))
    _require_free(output)
    sources = [_source(path, require_model(path)) for path in paths]
    return _average(sources, output, progress)


def average_newest(
    train: Path, number: int, output: Path, *, progress: Progress = SILENT
) -> Manifest:
    """Average the newest sound checkpoints of a training.

    Args:
        train: Folder of the training.
        number: Number of checkpoints; at least two.
        output: Folder to write.
        progress: Shows the tensors averaged.

    Returns:
        The manifest of the folder.

    Raises:
        UsageError: There are fewer sound checkpoints, or `output` exists.
    """
    _require_several(number)
    _require_free(output)
    folder = train / CHECKPOINTS
    while True:
        paths = list(islice(sound_checkpoints(folder), number))
        if len(paths) < number:
            raise UsageError(
                f"--last {number}: {folder} holds "
                f"{plural(len(paths), 'sound checkpoint')}",
                hint=f"with train.keep_last = {number} a training keeps that many",
            )
        try:
            sources = [_source(path, read_manifest(path)) for path in paths]
            return _average(sources, output, progress)
        except (S2SError, OSError, RuntimeError):
            if all(path.exists() for path in paths):
                raise
            # A running training has deleted a checkpoint: average newer ones.


def _require_several(number: int) -> None:
    if number < 2:
        raise UsageError(
            f"{plural(number, 'checkpoint')} to average: expected at least 2"
        )


def _require_free(output: Path) -> None:
    if output.exists() or output.is_symlink():
        raise UsageError(
            f"{output} is there already, and nothing is overwritten",
            hint="name a new folder with -o, or remove that one",
        )


def _source(path: Path, manifest: Manifest) -> _Source:
    if manifest.stage == AVERAGE:
        raise UsageError(
            f"{path} is an average of steps {_listed(manifest.counts[STEPS])}",
            hint="name those checkpoints, so that all have the same weight",
        )
    if manifest.stage != CHECKPOINT:
        raise MissingArtifactError(
            f"{path} is not a checkpoint: {manifest.stage} wrote it",
            hint=NAME_A_CHECKPOINT,
        )
    return _Source(path, manifest, read_info(path / MODEL_INFO))


def _average(sources: Sequence[_Source], output: Path, progress: Progress) -> Manifest:
    # A sum may depend on its order in the last digit.
    ordered = sorted(sources, key=lambda source: source.step)
    newest = ordered[-1]
    for source in ordered[:-1]:
        _require_same_kind(source, newest)
    steps = [source.step for source in ordered]
    info = {**newest.info, "validation": None, STEPS: steps}
    manifest = write_average(
        output,
        TensorBundle(_mean([source.path for source in ordered], progress), info),
        text=newest.path / TEXT,
        run=newest.manifest.fingerprint,
        counts={"step": newest.step, STEPS: steps},
    )
    log.info("%s holds the mean of steps %s", output, _listed(steps))
    return manifest


def _mean(paths: Sequence[Path], progress: Progress) -> dict[str, Tensor]:
    """The mean of each tensor, summed in float64; reads one tensor at a time."""
    mean = {}
    with ExitStack() as stack:
        files = [stack.enter_context(open_weights(path)) for path in paths]
        names = files[0].keys()
        task = stack.enter_context(
            progress.task("averaging", total=len(names), unit="tensors")
        )
        for name in names:
            total = files[0].get_tensor(name).to(torch.float64, copy=True)
            for file in files[1:]:
                total += file.get_tensor(name)
            mean[name] = (total / len(files)).to(torch.float32)
            task.advance()
    return mean


def _require_same_kind(source: _Source, other: _Source) -> None:
    own, expected = _kind(source), _kind(other)
    differing = [
        f"\n  {name}: {own.get(name)!r} and {expected.get(name)!r}"
        for name in sorted({*own, *expected})
        if own.get(name) != expected.get(name)
    ]
    if differing:
        raise UsageError(
            f"{source.path} and {other.path} cannot be averaged, they differ:"
            + "".join(differing),
            hint="checkpoints of several trainings make an ensemble: "
            "s2s translate --model A --model B",
        )


def _kind(source: _Source) -> dict[str, object]:
    """Everything that the checkpoints of one training have in common."""
    kind = {name: x for name, x in source.info.items() if name not in _VARYING}
    settings = kind.pop("model", {})
    kind |= {f"model.{name}": value for name, value in settings.items()}
    kind |= {
        name: output.sha256[:_HASH_LENGTH]
        for name, output in source.manifest.outputs.items()
        if name.startswith(f"{TEXT}/")
    }
    with open_weights(source.path) as file:
        for name in file.keys():  # noqa: SIM118 - it is no mapping
            kind[f"weights {name}"] = file.get_slice(name).get_shape()
    return {**kind, "training": source.manifest.fingerprint}


def _listed(steps: Sequence[int]) -> str:
    return ", ".join(map(str, steps))

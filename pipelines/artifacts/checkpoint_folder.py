"""The checkpoints of a training: which are there, are sound, and have a pointer.

    train/
      latest.json           name of the newest checkpoint
      best.json             name of the best one
      checkpoints/step-00001200/

Reads names, hashes and plain values, no tensors, and so imports no torch.
"""

import json
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pipelines.artifacts.files import remove_folder, remove_leftovers_in, write_atomic
from pipelines.artifacts.layout import CHECKPOINTS, STEP
from pipelines.artifacts.manifest import require_sound
from pipelines.errors import ArtifactError, CorruptArtifactError

log = logging.getLogger(__name__)


def checkpoints(folder: Path) -> list[Path]:
    """List the complete checkpoints of a folder, oldest first."""
    if not folder.is_dir():
        return []
    paths = folder.glob(f"{STEP}*")
    complete = [p for p in paths if p.name.removeprefix(STEP).isdigit()]
    return sorted(complete, key=step_of)


def step_of(path: Path) -> int:
    """The step in a checkpoint's name."""
    return int(path.name.removeprefix(STEP))


def sound_checkpoints(folder: Path) -> Iterator[Path]:
    """Yield the checkpoints whose every hash is right, newest first.

    Damaged ones are logged, unless they are being deleted by a running training.
    """
    for path in reversed(checkpoints(folder)):
        try:
            require_sound(path)
        except (ArtifactError, FileNotFoundError) as error:
            if path.exists():
                log.warning("%s; skipping %s", error, path.name)
            continue
        yield path


def newest_sound(folder: Path) -> Path | None:
    """The newest checkpoint whose every hash is right; None where there is none."""
    checked: list[Path] = []
    while (present := checkpoints(folder)) != checked:
        if newest := next(sound_checkpoints(folder), None):
            return newest
        checked = present  # a running training may have deleted all of these meanwhile
    return None


def newest_resumable(folder: Path) -> Path | None:
    """The checkpoint to resume from; None where there is no checkpoint at all.

    Raises:
        CorruptArtifactError: There are checkpoints and none is sound: only `--force`
            starts again at step 0.
    """
    newest = newest_sound(folder)
    if newest is None and checkpoints(folder):
        raise CorruptArtifactError(
            f"{folder} holds no sound checkpoint to resume from",
            hint="s2s verify lists the damage; s2s train --force keeps the folder "
            "aside and starts afresh",
        )
    return newest


def prune(folder: Path, keep: Iterable[str]) -> None:
    """Delete all checkpoints but those named, and what killed processes left."""
    names = set(keep)
    for path in checkpoints(folder):
        if path.name not in names:
            remove_folder(path)
    remove_leftovers_in(folder)


def point_to(path: Path, pointer: str) -> None:
    """Write a checkpoint's name to `latest.json` or `best.json` of its training."""
    content = json.dumps({"checkpoint": path.name}) + "\n"
    write_atomic(path.parent.parent / pointer, content.encode())


def read_pointer(pointer: Path) -> Path:
    """The checkpoint that `latest.json` or `best.json` names.

    Raises:
        FileNotFoundError: There is no such pointer.
        CorruptArtifactError: It is damaged.
    """
    try:
        name = json.loads(pointer.read_bytes())["checkpoint"]
        return Path(pointer.parent / CHECKPOINTS / name)
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptArtifactError(
            f"{pointer} is damaged: {error}", hint="s2s verify"
        ) from error


def read_info(path: Path) -> dict[str, Any]:
    """Read a checkpoint's `model.json` or `trainer.json` without checking its hash.

    Raises:
        CorruptArtifactError: It is missing or cannot be read.
    """
    try:
        return dict(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        raise CorruptArtifactError(f"{path}: {error}") from error

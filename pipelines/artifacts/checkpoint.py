"""A checkpoint: a folder that translates by itself, and from which training goes on.

    step-00001200/
      manifest.json         hash of every file; written last
      model.safetensors     the weights that translate
      model.json            their sizes, the step, the validation
      text/                 the text pipeline with both vocabularies
      trainer.safetensors   optimizer state and the raw weights, where they differ
      trainer.json          position in the data, best so far

No pickle. Beside the checkpoints `latest.json` and `best.json` point to one by name.
An average of checkpoints is such a folder without the trainer's two files.
"""

import json
import logging
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from pipelines.artifacts.files import (
    remove_folder,
    remove_leftovers_in,
    staged,
    write_atomic,
)
from pipelines.artifacts.layout import (
    AVERAGE,
    BEST,
    CHECKPOINT,
    CHECKPOINTS,
    MODEL,
    MODEL_INFO,
    TEXT,
    TRAINER,
    TRAINER_INFO,
    checkpoint_name,
)
from pipelines.artifacts.manifest import Manifest, require_sound, write_manifest
from pipelines.errors import ArtifactError, CorruptArtifactError, MissingArtifactError

log = logging.getLogger(__name__)

NAME_A_CHECKPOINT = "name a folder such as train/checkpoints/step-00001200"


@dataclass(frozen=True, slots=True)
class TensorBundle:
    """Tensors and the plain values that go with them."""

    tensors: Mapping[str, Tensor]
    info: Mapping[str, Any]


def write_checkpoint(
    folder: Path,
    step: int,
    *,
    model: TensorBundle,
    trainer: TensorBundle,
    text: Path,
    run: str,
) -> Path:
    """Write one checkpoint; it is there whole or not at all.

    Args:
        folder: Of all checkpoints.
        step: Updates so far; names the checkpoint.
        model: What translates.
        trainer: What training needs to go on.
        text: Folder of the text pipeline, which is copied.
        run: Fingerprint of the training run.

    Returns:
        The checkpoint's folder.
    """
    path = folder / checkpoint_name(step)
    parts = {(MODEL, MODEL_INFO): model, (TRAINER, TRAINER_INFO): trainer}
    manifest = Manifest(CHECKPOINT, run, {}, {}, {"step": step})
    _write(path, parts, text=text, manifest=manifest)
    return path


def write_average(
    path: Path, model: TensorBundle, *, text: Path, run: str, counts: Mapping[str, Any]
) -> Manifest:
    """Write a folder that translates, and from which no training goes on.

    Args:
        path: The folder.
        model: What translates.
        text: Folder of the text pipeline, which is copied.
        run: Fingerprint of the training run.
        counts: What was averaged.

    Returns:
        The manifest as written.
    """
    manifest = Manifest(AVERAGE, run, {}, {}, counts)
    return _write(path, {(MODEL, MODEL_INFO): model}, text=text, manifest=manifest)


def _write(
    path: Path,
    parts: Mapping[tuple[str, str], TensorBundle],
    *,
    text: Path,
    manifest: Manifest,
) -> Manifest:
    with staged(path) as temporary:
        for (tensors, info), part in parts.items():
            cpu = {k: t.detach().cpu().contiguous() for k, t in part.tensors.items()}
            (temporary / tensors).write_bytes(save(cpu))
            text_info = json.dumps(part.info, indent=2, ensure_ascii=False) + "\n"
            (temporary / info).write_text(text_info, encoding="utf-8")
        shutil.copytree(text, temporary / TEXT)
        return write_manifest(temporary, manifest)


def read_model(path: Path) -> TensorBundle:
    """Read what translates, after checking its hashes.

    Raises:
        MissingArtifactError: The folder holds no complete checkpoint.
        CorruptArtifactError: A file is damaged; the message names it.
    """
    require_model(path)
    return _read_part(path, MODEL, MODEL_INFO)


def require_model(path: Path) -> Manifest:
    """Check the hashes of what translates; errors as `read_model`."""
    try:
        return require_sound(path, leave_out="trainer.")
    except MissingArtifactError as error:
        raise MissingArtifactError(
            f"{path} is not a checkpoint: {error.message}",
            hint=NAME_A_CHECKPOINT,
        ) from error


def open_weights(path: Path) -> safe_open:
    """Open the weights that translate, to read them one by one."""
    return safe_open(path / MODEL, framework="pt")


def read_trainer(path: Path) -> TensorBundle:
    """Read what training needs to go on.

    Raises:
        MissingArtifactError: The folder holds no complete checkpoint, or an average,
            which only translates.
        CorruptArtifactError: A file is damaged; the message names it.
    """
    manifest = require_sound(path, leave_out="model.")
    if TRAINER not in manifest.outputs:
        raise MissingArtifactError(
            f"{path} only translates: it is an average of checkpoints and holds no "
            "state of a training to go on from",
            hint=f"move {path.name} out of {path.parent}, and training goes on from "
            "the newest checkpoint there",
        )
    return _read_part(path, TRAINER, TRAINER_INFO)


def read_trainer_info(path: Path) -> dict[str, Any]:
    """Read the plain values of a training's state, without hashing the tensors.

    Raises:
        CorruptArtifactError: They are missing or cannot be read.
    """
    return _read_info(path / TRAINER_INFO)


def _read_part(path: Path, tensors: str, info: str) -> TensorBundle:
    try:
        return TensorBundle(load_file(path / tensors), _read_info(path / info))
    except (OSError, ValueError) as error:
        raise CorruptArtifactError(f"{path}: {error}") from error
    except RuntimeError as error:  # of torch, which maps the file
        if (path / tensors).exists():
            raise
        raise CorruptArtifactError(f"{path / tensors} is missing") from error


def _read_info(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        raise CorruptArtifactError(f"{path}: {error}") from error


def checkpoints(folder: Path) -> list[Path]:
    """The complete checkpoints of a folder, oldest first."""
    if not folder.is_dir():
        return []
    found = [p for p in folder.glob("step-*") if p.name[5:].isdigit()]
    return sorted(found, key=step_of)


def step_of(path: Path) -> int:
    """The step in a checkpoint's name."""
    return int(path.name.removeprefix("step-"))


def sound_checkpoints(folder: Path) -> Iterator[Path]:
    """The checkpoints whose every hash is right, newest first.

    Damaged ones are reported; those that a training deletes meanwhile are not.
    """
    for path in reversed(checkpoints(folder)):
        try:
            require_sound(path)
        except (ArtifactError, FileNotFoundError) as error:
            if path.exists():
                log.warning("%s; %s is passed over", error, path.name)
            continue
        yield path


def latest_sound(folder: Path) -> Path | None:
    """The newest checkpoint whose every hash is right; damaged ones are passed over."""
    seen: list[Path] = []
    while (there := checkpoints(folder)) != seen:  # a training may delete all of these
        if found := next(sound_checkpoints(folder), None):
            return found
        seen = there
    return None


def newest_resumable(folder: Path) -> Path | None:
    """The checkpoint from which training goes on; None before there is any.

    Raises:
        CorruptArtifactError: There are checkpoints and none is sound: training does
            not begin at zero without being told to.
    """
    found = latest_sound(folder)
    if found is None and checkpoints(folder):
        raise CorruptArtifactError(
            f"{folder} holds no sound checkpoint to go on from",
            hint="s2s verify lists the damage; s2s train --force keeps the folder "
            "aside and starts afresh",
        )
    return found


def point_to(path: Path, pointer: str) -> None:
    """Let `latest.json` or `best.json` beside the checkpoints name `path`."""
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


def read_best(train: Path) -> tuple[Path, TensorBundle]:
    """The checkpoint that translates, the best one if it is sound, and its model.

    A running training points to a better checkpoint before it deletes the earlier one:
    where that vanishes while it is read, the better one is read.

    Raises:
        MissingArtifactError: Training has not written any.
        CorruptArtifactError: None is sound.
    """
    try:
        best = read_pointer(train / BEST)
    except FileNotFoundError:
        raise MissingArtifactError(
            f"{train / BEST} not found", hint="s2s train"
        ) from None
    except CorruptArtifactError as error:
        return _read_newest(train, error)
    try:
        return best, read_model(best)
    except (ArtifactError, FileNotFoundError) as error:
        if not best.exists() and read_pointer(train / BEST) != best:
            return read_best(train)
        return _read_newest(train, error)


def _read_newest(train: Path, error: Exception) -> tuple[Path, TensorBundle]:
    """The newest sound checkpoint and its model, in place of the best."""
    folder = train / CHECKPOINTS
    sound = latest_sound(folder)
    if sound is None:
        raise CorruptArtifactError(
            f"{folder} holds no sound checkpoint: {error}", hint="s2s verify"
        ) from error
    log.warning("the best checkpoint is damaged (%s); using %s", error, sound.name)
    return sound, read_model(sound)


def prune(folder: Path, keep: Iterable[str]) -> None:
    """Delete all checkpoints but those named, and what killed processes left."""
    names = set(keep)
    for path in checkpoints(folder):
        if path.name not in names:
            remove_folder(path)
    remove_leftovers_in(folder)

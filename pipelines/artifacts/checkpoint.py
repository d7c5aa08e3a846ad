"""A checkpoint: a folder that translates by itself and that training resumes from.

    step-00001200/
      manifest.json         hash of every file; written last
      model.safetensors     the weights that translate
      model.json            their sizes, the step, the validation
      text/                 the text pipeline with both vocabularies
      trainer.safetensors   optimizer state and the raw weights, where they differ
      trainer.json          state of the training: step, epoch, best so far

No pickle. An average of checkpoints is such a folder without the trainer's two files.
"""

import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from pipelines.artifacts.checkpoint_folder import newest_sound, read_info, read_pointer
from pipelines.artifacts.files import staged
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
    """Write one checkpoint, completely or not at all.

    Args:
        folder: Folder of all checkpoints.
        step: Updates so far; names the checkpoint.
        model: The weights that translate.
        trainer: State of the training, to resume from.
        text: Folder of the text pipeline, which is copied.
        run: Fingerprint of the training run.

    Returns:
        The checkpoint's folder.
    """
    path = folder / checkpoint_name(step)
    bundles = {(MODEL, MODEL_INFO): model, (TRAINER, TRAINER_INFO): trainer}
    manifest = Manifest(CHECKPOINT, run, {}, {}, {"step": step})
    _write(path, bundles, text=text, manifest=manifest)
    return path


def write_average(
    path: Path, model: TensorBundle, *, text: Path, run: str, counts: Mapping[str, Any]
) -> Manifest:
    """Write a checkpoint that translates, but that no training resumes from.

    Args:
        path: The folder.
        model: The weights that translate.
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
    bundles: Mapping[tuple[str, str], TensorBundle],
    *,
    text: Path,
    manifest: Manifest,
) -> Manifest:
    with staged(path) as temporary:
        for (tensors, info), bundle in bundles.items():
            cpu = {k: t.detach().cpu().contiguous() for k, t in bundle.tensors.items()}
            (temporary / tensors).write_bytes(save(cpu))
            text_info = json.dumps(bundle.info, indent=2, ensure_ascii=False) + "\n"
            (temporary / info).write_text(text_info, encoding="utf-8")
        shutil.copytree(text, temporary / TEXT)
        return write_manifest(temporary, manifest)


def read_model(path: Path) -> TensorBundle:
    """Read the model of a checkpoint after checking its hashes.

    Raises:
        MissingArtifactError: The folder holds no complete checkpoint.
        CorruptArtifactError: A file is damaged; the message names it.
    """
    require_model(path)
    return _read_bundle(path, MODEL, MODEL_INFO)


def require_model(path: Path) -> Manifest:
    """Check the hashes of a checkpoint's model and text; errors as `read_model`."""
    try:
        return require_sound(path, leave_out="trainer.")
    except MissingArtifactError as error:
        raise MissingArtifactError(
            f"{path} is not a checkpoint: {error.message}",
            hint=NAME_A_CHECKPOINT,
        ) from error


def open_weights(path: Path) -> safe_open:
    """Open the weights of a checkpoint, to read them one by one."""
    return safe_open(path / MODEL, framework="pt")


def read_trainer(path: Path) -> TensorBundle:
    """Read the state of the training of a checkpoint after checking its hashes.

    Raises:
        MissingArtifactError: The folder holds no complete checkpoint, or an average.
        CorruptArtifactError: A file is damaged; the message names it.
    """
    manifest = require_sound(path, leave_out="model.")
    if TRAINER not in manifest.outputs:
        raise MissingArtifactError(
            f"{path} only translates: it is an average of checkpoints and holds no "
            "state of a training to resume from",
            hint=f"move {path.name} out of {path.parent}, and s2s train resumes from "
            "the newest checkpoint there",
        )
    return _read_bundle(path, TRAINER, TRAINER_INFO)


def _read_bundle(path: Path, tensors: str, info: str) -> TensorBundle:
    try:
        return TensorBundle(load_file(path / tensors), read_info(path / info))
    except (OSError, ValueError) as error:
        raise CorruptArtifactError(f"{path}: {error}") from error
    except RuntimeError as error:  # of torch, which maps the file
        if (path / tensors).exists():
            raise
        raise CorruptArtifactError(f"{path / tensors} is missing") from error


def read_best(train: Path) -> tuple[Path, TensorBundle]:
    """Read the best checkpoint of a training, or the newest one if that is damaged.

    A running training points to a better checkpoint before it deletes the earlier one:
    where that vanishes while it is read, the better one is read.

    Returns:
        The checkpoint's folder, and its model.

    Raises:
        MissingArtifactError: Training has not written any checkpoint.
        CorruptArtifactError: No checkpoint is sound.
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
    """Read the newest sound checkpoint, as the best one is damaged."""
    folder = train / CHECKPOINTS
    newest = newest_sound(folder)
    if newest is None:
        raise CorruptArtifactError(
            f"{folder} holds no sound checkpoint: {error}", hint="s2s verify"
        ) from error
    log.warning("the best checkpoint is damaged (%s); using %s", error, newest.name)
    return newest, read_model(newest)

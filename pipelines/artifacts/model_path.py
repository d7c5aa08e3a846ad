"""Find the checkpoint that a user's path to a model means."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pipelines.artifacts.checkpoint import (
    NAME_A_CHECKPOINT,
    TensorBundle,
    read_best,
    read_model,
)
from pipelines.artifacts.checkpoint_folder import (
    checkpoints,
    newest_sound,
    read_pointer,
)
from pipelines.artifacts.layout import (
    BEST,
    CHECKPOINTS,
    LATEST,
    MANIFEST,
    MODEL,
    MODEL_INFO,
    TRAINER,
    TRAINER_INFO,
    Layout,
)
from pipelines.errors import (
    ArtifactError,
    CorruptArtifactError,
    MissingArtifactError,
)

log = logging.getLogger(__name__)

T = TypeVar("T")


def read_named(path: Path, read: Callable[[Path, TensorBundle], T]) -> T:
    """Read the checkpoint that a path names, also while a training deletes checkpoints.

    Where the checkpoint vanishes while it is read, its successor is read.

    Args:
        path: As for `find_model`.
        read: Reads the rest of the checkpoint, given its folder and its model.

    Returns:
        The result of `read`.

    Raises:
        As `find_model` and `read`.
    """
    while True:
        before = _choices(path)
        try:
            return read(*find_model(path))
        except (ArtifactError, FileNotFoundError):
            if _choices(path) == before:
                raise


def _choices(path: Path) -> list[list[Path]]:
    """The checkpoints from which a path that is no checkpoint chooses one."""
    trainings = (Layout(path).train, path, path.resolve().parent)
    return [checkpoints(train / CHECKPOINTS) for train in trainings]


def find_model(path: Path) -> tuple[Path, TensorBundle]:
    """Read the model that a path names.

    Args:
        path: A checkpoint or a file in it, a project, its folder `train` or
            `train/checkpoints`, or `best.json` or `latest.json`.

    Returns:
        The checkpoint's folder, and its model. For a project that is the best one so
        far, or the newest sound one before the first validation.

    Raises:
        MissingArtifactError: The path names no model.
        CorruptArtifactError: The model is damaged.
    """
    if path.is_file():
        return _find_model_of_file(path)
    resolved = path.resolve()
    parents = [resolved.parent] if resolved.name == CHECKPOINTS else []
    for train in (Layout(path).train, path, *parents):
        if (train / BEST).is_file():
            return read_best(train)
        if checkpoints(train / CHECKPOINTS):
            return _newest(train / CHECKPOINTS)
    for project in (path, path.parent, path.parent.parent):
        layout = Layout(project)
        folders = (project, layout.train, layout.train / CHECKPOINTS)
        if path in folders and layout.settings.is_file():
            raise MissingArtifactError(
                f"{path} holds no model yet", hint=f"s2s train -d {project}"
            )
    return path, read_model(path)


def _find_model_of_file(path: Path) -> tuple[Path, TensorBundle]:
    if path.name == LATEST:
        checkpoint = read_pointer(path)
        return checkpoint, read_model(checkpoint)
    if path.name in (BEST, MANIFEST, MODEL, MODEL_INFO, TRAINER, TRAINER_INFO):
        return find_model(path.parent)
    raise MissingArtifactError(
        f"{path} is a file, and not one of a checkpoint", hint=NAME_A_CHECKPOINT
    )


def _newest(folder: Path) -> tuple[Path, TensorBundle]:
    path = newest_sound(folder)
    if path is None:
        raise CorruptArtifactError(
            f"{folder} holds no sound checkpoint", hint="s2s verify"
        )
    log.warning("no checkpoint of %s was validated yet; using %s", folder, path.name)
    return path, read_model(path)

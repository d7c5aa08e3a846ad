"""From what a user names as a model to the checkpoint that is meant."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pipelines.artifacts.checkpoint import (
    NAME_A_CHECKPOINT,
    TensorBundle,
    checkpoints,
    latest_sound,
    read_best,
    read_model,
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
    """Read the model that a path names, and what else its checkpoint holds.

    A running training deletes checkpoints: where the one that is meant vanishes while
    it is read, the one that has taken its place is read.

    Args:
        path: As for `find_model`.
        read: Gets the checkpoint's folder and its model, and reads the rest.

    Returns:
        What `read` returns.

    Raises:
        As `find_model` and `read`.
    """
    while True:
        there = _beside(path)
        try:
            return read(*find_model(path))
        except (ArtifactError, FileNotFoundError):
            if _beside(path) == there:
                raise


def _beside(path: Path) -> list[list[Path]]:
    """The checkpoints among which a path that is no checkpoint chooses one."""
    places = (Layout(path).train, path, path.resolve().parent)
    return [checkpoints(place / CHECKPOINTS) for place in places]


def find_model(path: Path) -> tuple[Path, TensorBundle]:
    """The model that a path names.

    Args:
        path: A checkpoint or a file in it, a project, its folder `train` or
            `train/checkpoints`, or `best.json` or `latest.json`.

    Returns:
        The checkpoint's folder, and its model. A project's is the best one so far, or
        the newest sound one before the first validation.

    Raises:
        MissingArtifactError: None is there.
        CorruptArtifactError: It is damaged.
    """
    if path.is_file():
        return _find_model_of_file(path)
    whole = path.resolve()
    beside = [whole.parent] if whole.name == CHECKPOINTS else []
    for train in (Layout(path).train, path, *beside):
        if (train / BEST).is_file():
            return read_best(train)
        if checkpoints(train / CHECKPOINTS):
            return _newest(train / CHECKPOINTS)
    for project in (path, path.parent, path.parent.parent):
        layout = Layout(project)
        places = (project, layout.train, layout.train / CHECKPOINTS)
        if path in places and layout.settings.is_file():
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
    path = latest_sound(folder)
    if path is None:
        raise CorruptArtifactError(
            f"{folder} holds no sound checkpoint", hint="s2s verify"
        )
    log.warning("no checkpoint of %s was validated yet; using %s", folder, path.name)
    return path, read_model(path)

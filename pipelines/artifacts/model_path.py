"""From what a user names as a model to the checkpoint that is meant."""

import json
import logging
from pathlib import Path

from pipelines.artifacts.checkpoint import (
    BEST,
    CHECKPOINTS,
    LATEST,
    MODEL,
    MODEL_INFO,
    NAME_A_CHECKPOINT,
    TRAINER,
    TRAINER_INFO,
    Part,
    checkpoints,
    latest_sound,
    read_best,
    read_model,
)
from pipelines.artifacts.layout import MANIFEST, Layout
from pipelines.errors import CorruptArtifactError, MissingArtifactError

log = logging.getLogger(__name__)


def find_model(path: Path) -> tuple[Path, Part]:
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


def _find_model_of_file(path: Path) -> tuple[Path, Part]:
    if path.name == LATEST:
        return _read_latest(path)
    if path.name in (BEST, MANIFEST, MODEL, MODEL_INFO, TRAINER, TRAINER_INFO):
        return find_model(path.parent)
    raise MissingArtifactError(
        f"{path} is a file, and not one of a checkpoint", hint=NAME_A_CHECKPOINT
    )


def _read_latest(pointer: Path) -> tuple[Path, Part]:
    try:
        name = json.loads(pointer.read_bytes())["checkpoint"]
        path: Path = pointer.parent / CHECKPOINTS / name
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptArtifactError(
            f"{pointer} is damaged: {error}", hint="s2s verify"
        ) from error
    return path, read_model(path)


def _newest(folder: Path) -> tuple[Path, Part]:
    path = latest_sound(folder)
    if path is None:
        raise CorruptArtifactError(
            f"{folder} holds no sound checkpoint", hint="s2s verify"
        )
    log.warning("no checkpoint of %s was validated yet; using %s", folder, path.name)
    return path, read_model(path)

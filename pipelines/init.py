"""Make a project: `s2s.toml`, and number words for the recipe `numbers`."""

import logging
import os.path
from pathlib import Path
from typing import Any

from pipelines.artifacts.files import write_atomic
from pipelines.artifacts.layout import Layout
from pipelines.config import init_text
from pipelines.errors import CorpusError, UsageError
from pipelines.text.number_words import write_number_corpus

log = logging.getLogger(__name__)

NUMBERS = "numbers"


def run(folder: Path, recipe: str, values: dict[str, Any], *, force: bool) -> Path:
    """Write a new project.

    Args:
        folder: Made if it is not there.
        recipe: Whose settings go into `s2s.toml`.
        values: `section.key` -> value, in place of the recipe's. File names are taken
            from the current folder and must exist.
        force: Replace an `s2s.toml` that is there.

    Returns:
        The path of `s2s.toml`.

    Raises:
        UsageError: There is a project already.
        CorpusError: A named file does not exist.
        ConfigError: The recipe or a setting is unknown or wrong.
    """
    layout = Layout(folder)
    if layout.settings.exists() and not force:
        raise UsageError(
            f"{layout.settings} exists already", hint="edit it, or s2s init --force"
        )
    own_text = any(key in values for key in ("data.train", "data.valid", "data.test"))
    found = {
        key: [_from_project(name, folder) for name in value]
        if key in ("data.train", "data.valid", "data.test")
        else value
        for key, value in values.items()
    }
    text = init_text(recipe, found)
    folder.mkdir(parents=True, exist_ok=True)
    if recipe == NUMBERS and not own_text:
        write_number_corpus(folder / "data")
        log.info("number words written to %s", folder / "data")
    write_atomic(layout.settings, text.encode())
    return layout.settings


def _from_project(name: str, folder: Path) -> str:
    """A file's path as seen from the project: relative if it was given so."""
    path = Path(name)
    if not path.is_file():
        raise CorpusError(
            f"{path} not found", hint="name files as seen from the current folder"
        )
    if path.is_absolute():
        return str(path)
    return os.path.relpath(path.resolve(), folder.resolve())

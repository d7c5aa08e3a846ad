"""Small parallel texts on disk, and the settings that name them."""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from pipelines import preprocess
from pipelines.artifacts.layout import Layout
from pipelines.artifacts.manifest import Manifest
from pipelines.config.preprocess import PreprocessConfig
from pipelines.config.schema import BinarizeConfig, Config, DataConfig
from pipelines.text import TextPipeline

PAIRS = [
    ("The cat sleeps.", "Le chat dort."),
    ("A dog runs, fast!", "Un chien court, vite !"),
    ("It's raining today.", "Il pleut aujourd'hui."),
    ("We like apples.", "Nous aimons les pommes."),
]


def write_lines(path: Path, lines: Sequence[str]) -> None:
    path.write_bytes("".join(f"{line}\n" for line in lines).encode())


def write_pairs(folder: Path, split: str, pairs: Sequence[tuple[str, str]]) -> None:
    for side, language in enumerate(("en", "fr")):
        write_lines(folder / f"{split}.{language}", [pair[side] for pair in pairs])


def make_project(folder: Path, **settings: Any) -> tuple[Config, Layout]:
    """A project whose texts are written where they do not exist yet."""
    for split in ("train", "valid", "test"):
        if not (folder / f"{split}.en").exists():
            write_pairs(folder, split, PAIRS * (3 if split == "train" else 1))
    config = Config(
        data=DataConfig(
            train=("train.en", "train.fr"),
            valid=("valid.en", "valid.fr"),
            test=("test.en", "test.fr"),
        ),
        preprocess=PreprocessConfig(**({"workers": 1} | settings)),
        binarize=BinarizeConfig(workers=settings.get("workers", 1)),
    )
    return config, Layout(folder)


def file_bytes(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def preprocess_project(
    folder: Path, **settings: Any
) -> tuple[Manifest, Layout, TextPipeline]:
    """Make a project and preprocess it."""
    config, layout = make_project(folder, **settings)
    manifest = preprocess.run(config, layout)
    return manifest, layout, TextPipeline.load(layout.preprocess / "text")


def make_pipe(path: Path, content: bytes) -> Path:
    """A named pipe that can be opened once: its first reader finds its name removed."""
    os.mkfifo(path)

    def write() -> None:
        with path.open("wb") as pipe:  # waits for a reader
            path.unlink()
            pipe.write(content)

    Thread(target=write, daemon=True).start()
    return path


def text_lines(path: Path) -> list[str]:
    return path.read_bytes().decode().split("\n")[:-1]


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]


class AfterTask:
    """A progress that calls a function at the end of one task."""

    def __init__(self, name: str, call: Callable[[], None]) -> None:
        self._name, self._call = name, call

    @contextmanager
    def task(
        self, description: str, *, total: int | None = None, unit: str = "lines"
    ) -> Iterator["AfterTask"]:
        yield self
        if description == self._name:
            self._call()

    def advance(self, amount: int = 1, **figures: str) -> None:
        pass

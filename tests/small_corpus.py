"""Small parallel texts on disk, and the settings that name them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.artifacts.layout import Layout
from pipelines.config.preprocess import PreprocessConfig
from pipelines.config.schema import BinarizeConfig, Config, DataConfig

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

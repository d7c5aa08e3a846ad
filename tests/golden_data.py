"""Reference data beside the repository; tests that need it are skipped elsewhere."""

from pathlib import Path

import pytest

from pipelines.artifacts.corpus import read_lines

_FOLDER = Path(__file__).parents[2] / "shared" / "data"


def golden_path(name: str) -> Path:
    path = _FOLDER / name
    if not path.exists():
        pytest.skip(f"{path} is not here")
    return path


def golden_lines(name: str) -> list[str]:
    return [raw.decode() for raw in read_lines(golden_path(name))]

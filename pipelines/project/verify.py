"""Check every artifact of a project against its recorded hash."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from pipelines.artifacts.checkpoint_folder import checkpoints, read_pointer
from pipelines.artifacts.layout import (
    BEST,
    CHECKPOINTS,
    LATEST,
    MANIFEST,
    STAGES,
    Layout,
)
from pipelines.artifacts.manifest import damaged_files, read_manifest
from pipelines.errors import ArtifactError, CorruptArtifactError


@dataclass(slots=True)
class Verification:
    """Number of files checked, and a line for each problem."""

    num_files: int = 0
    problems: list[str] = field(default_factory=list)

    def check(self, folder: Path) -> None:
        """Check one folder that has a manifest."""
        damaged = damaged_files(folder)
        self.problems += [line for line in damaged if line not in self.problems]
        try:
            self.num_files += 1 + len(read_manifest(folder).outputs)
        except ArtifactError:
            self.num_files += 1

    def check_checkpoint(self, folder: Path) -> None:
        """Check a checkpoint; one that a running training deletes does not count."""
        result = Verification()
        try:
            result.check(folder)
        except (ArtifactError, FileNotFoundError) as error:
            result.problems.append(str(error))
        if folder.exists():
            self.num_files += result.num_files
            self.problems += result.problems


def verify(layout: Layout) -> Verification:
    """Check every complete stage, and the checkpoints of an unfinished training."""
    result = Verification()
    valid = replace(layout, split="valid")
    folders = [layout.stage(stage) for stage in STAGES]
    for folder in (*folders, valid.translate, valid.score):
        complete = (folder / MANIFEST).exists()
        if complete:
            result.check(folder)
        if folder == layout.train and not complete:
            for checkpoint in checkpoints(folder / CHECKPOINTS):
                result.check_checkpoint(checkpoint)
            for pointer in (LATEST, BEST):
                _check_pointer(folder / pointer, result)
    return result


def _check_pointer(path: Path, result: Verification) -> None:
    if not path.exists():
        return
    result.num_files += 1
    try:
        checkpoint = read_pointer(path)
        if checkpoint.is_dir() or read_pointer(path) != checkpoint:
            return
    except CorruptArtifactError:
        result.problems.append(f"{path} is damaged")
        return
    result.problems.append(f"{path} names {checkpoint.name}, which is missing")

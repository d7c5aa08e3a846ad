"""Every artifact of a project against its recorded hash."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from pipelines.artifacts.checkpoint import checkpoints, read_pointer
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
    """What was checked and what was found."""

    num_files: int = 0
    problems: list[str] = field(default_factory=list)

    def check(self, folder: Path) -> None:
        """Check one folder that has a manifest."""
        found = damaged_files(folder)
        self.problems += [problem for problem in found if problem not in self.problems]
        try:
            self.num_files += 1 + len(read_manifest(folder).outputs)
        except ArtifactError:
            self.num_files += 1

    def check_checkpoint(self, folder: Path) -> None:
        """Check a checkpoint, unless a running training deletes it meanwhile."""
        one = Verification()
        try:
            one.check(folder)
        except (ArtifactError, FileNotFoundError) as error:
            one.problems.append(str(error))
        if folder.exists():
            self.num_files += one.num_files
            self.problems += one.problems


def verify(layout: Layout) -> Verification:
    """Check every stage that is there, and every checkpoint."""
    found = Verification()
    valid = replace(layout, split="valid")
    folders = [layout.stage(stage) for stage in STAGES]
    for folder in (*folders, valid.translate, valid.score):
        complete = (folder / MANIFEST).exists()
        if complete:
            found.check(folder)
        if folder == layout.train and not complete:
            for checkpoint in checkpoints(folder / CHECKPOINTS):
                found.check_checkpoint(checkpoint)
            for pointer in (LATEST, BEST):
                _check_pointer(folder / pointer, found)
    return found


def _check_pointer(path: Path, found: Verification) -> None:
    if not path.exists():
        return
    found.num_files += 1
    try:
        checkpoint = read_pointer(path)
        if checkpoint.is_dir() or read_pointer(path) != checkpoint:
            return
    except CorruptArtifactError:
        found.problems.append(f"{path} is damaged")
        return
    found.problems.append(f"{path} names {checkpoint.name}, which is missing")

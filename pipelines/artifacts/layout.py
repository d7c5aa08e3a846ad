"""The paths of a project: every name on disk is written here once.

s2s.toml
preprocess/   manifest.json  text/  train.00000.src  train.00000.tgt  dropped.tsv
binarize/     manifest.json  train.00000.safetensors
train/        manifest.json  run.json  metrics.jsonl  latest.json  best.json
              checkpoints/step-00001200/
translate/    test/  manifest.json  output.txt  tokens.txt  nbest.txt
score/        manifest.json  report.json
translate/valid/ and score.valid/ hold the same of the validation split
train.aside-<run>/  train.kept-<run>/   earlier trainings
.s2s/         lock  hashes.json         may be deleted at any time
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from pipelines.config.section import SETTINGS

STAGES = ("preprocess", "binarize", "train", "translate", "score")
SPLITS = ("train", "valid", "test")
TEST = "test"
TRANSLATED_SPLITS = (TEST, "valid")
"""Splits that `translate` and `score` work on."""
CHECKPOINT, AVERAGE = "checkpoint", "average"
"""What the manifest of a model's folder names in place of a stage."""

MANIFEST = "manifest.json"
"""In every folder that is complete."""
STATE = ".s2s"
"""In a project, with the two files below."""
LOCK, HASHES = "lock", "hashes.json"
TEXT, DROPPED = "text", "dropped.tsv"
"""In `preprocess/`."""
PIPELINE = "pipeline.json"
SOURCE_VOCAB, TARGET_VOCAB = "source.vocab.tsv", "target.vocab.tsv"
SOURCE_MODEL, TARGET_MODEL = "source.spm", "target.spm"
"""In `text/`, with the two vocabularies and SentencePiece models."""
RUN, METRICS, EVENTS = "run.json", "metrics.jsonl", "tensorboard"
CHECKPOINTS, LATEST, BEST = "checkpoints", "latest.json", "best.json"
"""In `train/`."""
MODEL, MODEL_INFO = "model.safetensors", "model.json"
TRAINER, TRAINER_INFO = "trainer.safetensors", "trainer.json"
"""In a checkpoint."""
OUTPUT, TOKENS, NBEST = "output.txt", "tokens.txt", "nbest.txt"
"""In `translate/test/`."""
REPORT = "report.json"
"""In `score/`."""
STEP = "step-"
"""What the names of checkpoints begin with."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of one project."""

    root: Path
    split: str = TEST
    """The split that `translate` and `score` work on."""
    read_only: bool = False
    """Write nothing, not even the cache of hashes."""

    @property
    def settings(self) -> Path:
        """The file the user edits."""
        return self.root / SETTINGS

    @property
    def state(self) -> Path:
        """The folder of the lock and of the cache of hashes."""
        return self.root / STATE

    @property
    def preprocess(self) -> Path:
        """Tokens, vocabularies and the text pipeline."""
        return self.root / "preprocess"

    @property
    def binarize(self) -> Path:
        """Shards."""
        return self.root / "binarize"

    @property
    def train(self) -> Path:
        """Checkpoints and metrics."""
        return self.root / "train"

    @property
    def translate(self) -> Path:
        """The translation of the split."""
        return self.root / "translate" / self.split

    @property
    def score(self) -> Path:
        """The score report of the split."""
        return self.root / ("score" if self.split == TEST else f"score.{self.split}")

    def stage(self, name: str) -> Path:
        """The folder of a stage."""
        folder: Path = getattr(self, name)
        return folder

    def train_aside(self, run: str) -> Path:
        """The folder of a run that was forked, until its settings return."""
        return self.root / f"{self.train.name}.aside-{run}"

    def train_kept(self, run: str) -> Path:
        """The folder of a run that another one replaced for good."""
        return self.root / f"{self.train.name}.kept-{run}"


def part_name(split: str, part: int, side: str) -> str:
    """Name of a part of tokens: `train.00000.src`."""
    return f"{split}.{part:05d}.{side}"


def shard_name(split: str, part: int) -> str:
    """Name of a shard: `train.00000.safetensors`."""
    return f"{split}.{part:05d}.safetensors"


def checkpoint_name(step: int) -> str:
    """Name of a checkpoint's folder: `step-00001200`."""
    return f"{STEP}{step:08d}"


def part_files(output: Path) -> tuple[Path, Path]:
    """An unfinished output, and the record of how much of it counts."""
    part = output.with_name(f"{output.name}.part")
    return part, part.with_name(f"{part.name}.json")


def backup_names(settings: Path) -> Iterator[Path]:
    """Names for replaced settings: `s2s.toml.bak`, `s2s.toml.bak2` and so on."""
    suffixes = (f".bak{number if number > 1 else ''}" for number in count(1))
    return (settings.with_name(settings.name + suffix) for suffix in suffixes)

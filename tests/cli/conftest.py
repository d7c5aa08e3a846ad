"""A tiny finished project, made once, and a way to call `s2s` as a user does."""

import io
import random
import shutil
import sys
from dataclasses import dataclass

import pytest

from s2scli.main import main

SETTINGS = (
    "preprocess.tokenizer=none",
    "preprocess.min_count=1",
    "preprocess.part_size=100",
    "preprocess.workers=1",
    "binarize.workers=1",
    "model.cells=48",
    "model.tie_embeddings=false",
    "model.embedding_size=16",
    "model.dropout=0.0",
    "train.precision=fp32",
    "translate.precision=fp32",
    "train.batch_size=8",
    "train.learning_rate=0.01",
    "train.warmup_steps=20",
    "train.max_epochs=16",
    "train.validate_every_epochs=8",
    "score.bootstrap_samples=0",
)


@dataclass(frozen=True)
class Result:
    status: int
    out: str
    err: str

    @property
    def lines(self):
        return self.out.split("\n")[:-1]


@pytest.fixture
def s2s(monkeypatch, capsys):
    """Run `s2s ARGS` in this process."""

    def run(*arguments, stdin=b""):
        monkeypatch.setattr(sys, "argv", ["s2s", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main()
        captured = capsys.readouterr()
        code = caught.value.code
        assert "Traceback" not in captured.err
        return Result(code if isinstance(code, int) else 0, captured.out, captured.err)

    return run


def write_corpus(folder, counts=(("train", 400), ("valid", 40), ("test", 40))):
    """Letters in, the same letters in capitals out."""
    generator = random.Random(1)
    folder.mkdir(exist_ok=True)
    for split, count in counts:
        rows = [
            generator.choices("abcdef", k=generator.randint(1, 4)) for _ in range(count)
        ]
        for side, change in (("xx", str), ("yy", str.upper)):
            text = "".join(change(" ".join(row)) + "\n" for row in rows)
            (folder / f"{split}.{side}").write_text(text)
    return folder


def init_arguments(data, folder, *settings):
    files = [
        option
        for split in ("train", "valid", "test")
        for option in (f"--{split}", data / f"{split}.xx", data / f"{split}.yy")
    ]
    chosen = {text.partition("=")[0]: text for text in (*SETTINGS, *settings)}
    sets = [option for text in chosen.values() for option in ("--set", text)]
    languages = ["-s", "xx", "-t", "yy"]
    return ["init", "--recipe", "small", *languages, *files, *sets, folder]


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A project through all stages: copy it, do not change it."""
    root = tmp_path_factory.mktemp("finished")
    data = write_corpus(root / "data")
    before = sys.argv
    for arguments in (
        init_arguments(data, root / "project"),
        ["run", "-q", "-d", root / "project"],
    ):
        sys.argv = ["s2s", *map(str, arguments)]
        with pytest.raises(SystemExit) as caught:
            main()
        assert caught.value.code in (0, None)
    sys.argv = before
    return root / "project"


@pytest.fixture
def project(finished, tmp_path):
    """A copy of the finished project."""
    shutil.copytree(finished, tmp_path / "project")
    return tmp_path / "project"

"""One GPU in nine minutes: correctness, quality, speed and memory.

    python benchmarks/gpu.py --multi30k data/multi30k          # on a GPU
    python benchmarks/gpu.py --device cpu --quick              # tries out the script

In order: the tests that need a GPU; the recipe `numbers` from text to score; the recipe
`small` on multi30k German-English, lower-cased, where `--multi30k` names its folder
(train, valid and test, .de and .en, plain or .gz); training at the paper's size with
and without peepholes; translation. Each measurement is a process of its own, with a
time limit of its own; an error is shown in its row and does not stop the rest. Prints
one Markdown table. Speed is measured as in train.py and translate.py.
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import train
import translate
from measure import last_line

from pipelines.artifacts.manifest import read_manifest
from pipelines.artifacts.report import read_report
from pipelines.model.engine.device import choose_device, describe
from pipelines.model.engine.precision import choose_precision

ROOT = Path(__file__).resolve().parent.parent
HEAD = (
    "| measurement | result | expected | words/s | share of peak | memory | "
    "host syncs a step | s |\n"
    "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: |"
)


@dataclass(frozen=True)
class Result:
    """Cells of one row; empty where they do not apply."""

    result: str = ""
    expected: str = ""
    words_per_s: str = ""
    share_of_peak: str = ""
    memory: str = ""
    syncs: str = ""


Measure = Callable[[float], Result]
"""Seconds left -> result."""


@dataclass(frozen=True)
class Step:
    """A row of the table."""

    name: str
    limit_s: float
    measure: Measure


def run(command: Sequence[str], timeout_s: float) -> str:
    """Run a process and those it starts; returns its standard output.

    Raises:
        CalledProcessError, TimeoutExpired: It failed, or took too long.
    """
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    with subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": path},
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(timeout=timeout_s)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, out, err)
    return out


def run_tests(args: argparse.Namespace, timeout_s: float) -> Result:
    chosen = ["-m", "gpu", "tests"]
    if args.device == "cpu":  # on the fake GPU
        chosen = ["-m", "not gpu", "-k", "numbers", "tests/gpu"]
    out = run(["-m", "pytest", "-q", "-n", "0", *chosen], timeout_s)
    last = out.rstrip().split("\n")[-1]
    counts = ", ".join(re.findall(r"\d+ (?:passed|failed|skipped|xfailed)", last))
    return Result(counts, "all pass")


def s2s(*command: str | Path, timeout_s: float) -> None:
    run(["-m", "s2scli", *map(str, command)], timeout_s)


def train_and_score(
    folder: Path, settings: Sequence[str], *, timeout_s: float
) -> dict[str, float]:
    """`s2s run`; returns the metrics and the training's words a second."""
    sets = [option for text in settings for option in ("--set", text)]
    s2s("run", "-q", "-d", folder, *sets, timeout_s=timeout_s)
    report = read_report(folder / "score" / "report.json")
    counts = read_manifest(folder / "train").counts
    found = {metric.name: metric.value for metric in report.metrics}
    return found | {
        "words_per_s": float(counts["words"]) / float(counts["training_s"]),
        "perplexity": float(counts["valid_perplexity"]),
    }


def on_device(args: argparse.Namespace) -> list[str]:
    return [f"train.device={args.device}", f"translate.device={args.device}"]


def train_numbers(args: argparse.Namespace, folder: Path, timeout_s: float) -> Result:
    started = time.monotonic()
    s2s("init", "-q", "--recipe", "numbers", folder, timeout_s=timeout_s)
    settings = on_device(args)
    if args.quick:
        settings += ["train.max_steps=20", "translate.beam=1", "model.cells=32"]
        for path in (folder / "data").iterdir():
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
            path.write_text(
                "".join(lines[:1000][:: 1 + 9 * ("train" not in path.name)])
            )
    left_s = timeout_s - (time.monotonic() - started)
    found = train_and_score(folder, settings, timeout_s=left_s)
    return Result(
        f"exact match {found['exact_match']:.1f} %",
        "100 %",
        f"{found['words_per_s']:,.0f}",
    )


def find_text(folder: Path, split: str, language: str) -> Path:
    for name in (f"{split}.{language}", f"{split}.{language}.gz"):
        if (folder / name).exists():
            return (folder / name).resolve()
    raise FileNotFoundError(f"{folder}: no {split}.{language}, plain or .gz")


def train_small(args: argparse.Namespace, folder: Path, timeout_s: float) -> Result:
    started = time.monotonic()
    files = [
        option
        for split in ("train", "valid", "test")
        for option in (
            f"--{split}",
            *(find_text(args.multi30k, split, language) for language in ("de", "en")),
        )
    ]
    settings = ["preprocess.lowercase=true", "score.lowercase=true"]
    sets = [option for text in settings for option in ("--set", text)]
    languages = ["-s", "de", "-t", "en"]
    s2s(
        *("init", "-q", "--recipe", "small", *languages, *files, *sets, folder),
        timeout_s=timeout_s,
    )
    settings = on_device(args)
    if args.quick:
        settings += ["train.max_steps=20", "translate.beam=1", "model.cells=32"]
    left_s = timeout_s - (time.monotonic() - started)
    found = train_and_score(folder, settings, timeout_s=left_s)
    return Result(
        f"BLEU {found['bleu_detokenised']:.2f}, perplexity {found['perplexity']:.2f}",
        "26.6",
        f"{found['words_per_s']:,.0f}",
    )


def measure_training(
    args: argparse.Namespace, name: str, batch_size: int, folder: Path, timeout_s: float
) -> Result:
    steps, warmup, pairs = (4, 2, 2000) if args.quick else (20, 5, 64_000)
    if not any(folder.iterdir()):
        train.write_shards(name, pairs, folder)
    options = {"batch-size": batch_size, "steps": steps, "warmup": warmup}
    options |= {"device": args.device}
    flags = [text for key, value in options.items() for text in (f"--{key}", value)]
    chosen = train.make_parser().parse_args([*map(str, flags)])
    row = train.measure_apart(
        name, args.precision, str(folder), chosen, timeout_s=timeout_s
    )
    on_gpu = args.device.startswith("cuda")
    speed, peak = row["gflop_per_s"] / 1000, row["peak_gflop_per_s"] / 1000
    return Result(
        f"{speed:,.1f} of {peak:,.1f} TFLOP/s",
        "",
        f"{row['words_per_s']:,.0f}",
        f"{row['share_of_peak']:.0%}",
        f"{row['peak_memory_gb']:.2f} GB",
        f"{row['syncs_per_step']:.2f}" if on_gpu else "",
    )


def measure_translation(
    args: argparse.Namespace, name: str, beam: int, folder: Path, timeout_s: float
) -> Result:
    started = time.monotonic()
    num_sentences = "100" if args.quick else "2000"
    chosen = translate.make_parser().parse_args(
        ["--device", args.device, "--members=1", "--sentences", num_sentences]
    )
    if not any(folder.iterdir()):
        translate.make_subject(name, folder, chosen)
    models = sorted(str(path) for path in folder.glob("step-*"))
    settings = translate.common(chosen) | translate.RANDOM_LENGTHS
    settings |= {"beam": beam, "precision": args.precision}
    row = translate.measure_apart(
        *(models, folder / "source", settings, 1 if args.quick else 3),
        timeout_s=timeout_s - (time.monotonic() - started),
    )
    return Result(
        f"{row['sentences'] / row['seconds']:,.0f} sentences/s",
        "",
        f"{row['words'] / row['seconds']:,.0f}",
        "",
        f"{row['peak_memory_gb']:.2f} GB",
    )


def steps(args: argparse.Namespace, folder: Path) -> Iterator[Step]:
    """The rows, the most important first; their folders are made when they come."""

    def own(name: str) -> Path:
        (folder / name).mkdir(exist_ok=True)
        return folder / name

    yield Step("tests", 150, partial(run_tests, args))
    yield Step(
        "`numbers`, trained", 120, partial(train_numbers, args, folder / "numbers")
    )
    if args.multi30k:
        measure = partial(train_small, args, folder / "small")
        yield Step("`small` on multi30k, trained", 180, measure)
    size, batch_sizes = (
        ("tiny", (16, 32)) if args.quick else ("paper", (128, 512, 1024))
    )
    for batch_size in batch_sizes:
        for name in (size, f"{size}-peepholes"):
            yield Step(
                f"training, {name}, batch {batch_size}, {args.precision}",
                60,
                partial(measure_training, args, name, batch_size, own("shards")),
            )
    for name in ("tiny",) if args.quick else ("small", "paper"):
        for beam in (1, 12):
            yield Step(
                f"translation, {name}, beam {beam}, {args.precision}",
                60,
                partial(measure_translation, args, name, beam, own(f"{name} models")),
            )


def reason(error: Exception) -> str:
    """Describe an error in a line; its whole output goes to standard error."""
    if isinstance(error, subprocess.TimeoutExpired):
        return f"stopped after {error.timeout:.0f} s"
    if not isinstance(error, subprocess.CalledProcessError):
        return f"failed: {error}"
    print(error.stdout, error.stderr, sep="\n", file=sys.stderr)
    return f"failed: {last_line(error)}"


def table_row(step: Step, left_s: float) -> str:
    started = time.monotonic()
    found = Result("left out: no time left")
    if left_s > 1:
        try:
            found = step.measure(min(step.limit_s, left_s))
        except Exception as error:  # noqa: BLE001 # it is the row's result
            found = Result(reason(error).replace("|", "/"))
    cells = [
        *(step.name, found.result, found.expected, found.words_per_s),
        *(found.share_of_peak, found.memory, found.syncs),
        f"{time.monotonic() - started:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N or cpu")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, few steps")
    parser.add_argument("--multi30k", type=Path, metavar="DIR", help="the data")
    parser.add_argument("--minutes", type=float, default=9.0, help="for all of it")
    parser.add_argument("--only", default="", help="rows whose name holds this text")
    args = parser.parse_args()
    started = time.monotonic()
    device = choose_device(args.device)
    args.precision = choose_precision("auto", device)
    rows: list[str] = []
    try:
        with tempfile.TemporaryDirectory() as folder:
            for step in steps(args, Path(folder)):
                if args.only not in step.name:
                    continue
                left_s = 60 * args.minutes - (time.monotonic() - started)
                rows.append(table_row(step, left_s))
                print(rows[-1], file=sys.stderr, flush=True)
    finally:
        print(f"{describe(device)}, torch {torch.__version__}\n", HEAD, *rows, sep="\n")


if __name__ == "__main__":
    main()

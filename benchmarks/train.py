"""How fast training is: words a second, memory, and the share of the machine's peak.

    python benchmarks/train.py                                # all sizes, this machine
    python benchmarks/train.py --sizes 2x512,4x1000 --precisions fp32,bf16
    python benchmarks/train.py --write-text /tmp/text         # for another toolkit

The whole training loop is timed, as `s2s train` runs it: loading, forward, backward,
clipping, update. Text is synthetic: words by Zipf's law, sentences of about 25 words.
Words are source and target words with their EOS and without padding. The peak is the
fastest of a few large matmuls in the same precision, measured in the same run.
Each row is a process of its own, so that its peak memory is its own. On a GPU torch
counts host syncs, apart from events and torch.distributed.
"""

import argparse
import contextlib
import itertools
import json
import statistics
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from measure import (
    last_line,
    peak_bytes,
    plain_model,
    run_row,
    wait_for,
    zipf_sentences,
)

from pipelines.artifacts.shards import write_shard
from pipelines.artifacts.vocab import SPECIALS
from pipelines.config import ModelConfig, TrainConfig
from pipelines.data.dataset import ParallelDataset
from pipelines.model.engine.device import choose_device, cpu_for_training, describe
from pipelines.model.engine.matmul import choose_matmul
from pipelines.model.engine.precision import choose_precision, tf32_switched
from pipelines.model.seq2seq import Seq2Seq, initialize
from pipelines.trainer.checkpoints import CheckpointManager
from pipelines.trainer.loop import Trainer

ADAM = {"optimizer": "adam", "learning_rate": 0.001, "schedule": "constant"}
SGD = {"optimizer": "sgd", "learning_rate": 0.7, "schedule": "constant"}


@dataclass(frozen=True)
class Size:
    """One setting to measure."""

    model: ModelConfig
    src_vocab: int
    tgt_vocab: int
    train: dict[str, object]


SIZES = {
    "small": Size(
        ModelConfig(layers=1, cells=512, embedding_size=256, tie_embeddings=True),
        10_000,
        10_000,
        ADAM,
    ),
    "2x512": Size(plain_model(2, 512), 10_000, 10_000, ADAM),
    "4x1000": Size(plain_model(4, 1000), 10_000, 10_000, SGD),
    "paper": Size(plain_model(4, 1000), 160_000, 80_000, SGD),
    "tiny": Size(plain_model(1, 32), 500, 500, ADAM),
}
SIZES |= {
    f"{name}-peepholes": replace(
        SIZES[name], model=SIZES[name].model.model_copy(update={"peepholes": True})
    )
    for name in ("4x1000", "paper", "tiny")
}

Text = list[list[int]]


def make_text(src_vocab: int, tgt_vocab: int, pairs: int) -> tuple[Text, Text]:
    """Ids by Zipf's law; lengths by a gamma law, targets about a tenth longer."""
    generator = np.random.default_rng(1)
    lengths = generator.gamma((25 / 8) ** 2, 64 / 25, pairs)
    src_lengths = np.clip(np.rint(lengths), 5, 50).astype(int)
    factors = np.clip(generator.normal(1.1, 0.1, pairs), 0.8, 1.4)
    tgt_lengths = np.rint(src_lengths * factors).astype(int)

    src = zipf_sentences(generator, src_vocab, src_lengths)
    tgt = zipf_sentences(generator, tgt_vocab, tgt_lengths)
    first = len(SPECIALS)
    return [(n + first).tolist() for n in src], [(n + first).tolist() for n in tgt]


def flop(size: Size, src_tokens: int, tgt_tokens: int) -> float:
    """FLOP of an epoch's matmuls: two per weight and token, in three passes."""
    model = size.model
    widths = [model.embedding_size] + [model.cells] * (model.layers - 1)
    recurrent = sum(4 * model.cells * (width + model.cells) for width in widths)
    output = size.tgt_vocab * model.cells
    if model.tie_embeddings:
        output = model.embedding_size * (size.tgt_vocab + model.cells)
    return 6.0 * (src_tokens * recurrent + tgt_tokens * (recurrent + output))


def median_s(work: Callable[[], object], device: torch.device, repeats: int) -> float:
    seconds: list[float] = []
    for number in range(repeats + 2):
        started = time.perf_counter()
        work()
        wait_for(device)
        if number >= 2:
            seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def matmul_peak(precision: str, device: torch.device) -> float:
    """FLOP a second of the fastest large square matmul in this precision."""
    best = 0.0
    for width in (1024, 2048) if device.type == "cpu" else (4096, 8192):
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        one, two = torch.randn(2, width, width, device=device, dtype=dtype)
        backend = choose_matmul(precision, device).backend  # type: ignore[arg-type]
        with tf32_switched(backend, device), torch.no_grad():
            seconds = median_s(lambda: one @ two, device, 7)  # noqa: B023
        best = max(best, 2 * width**3 / seconds)
    return best


SYNC = "called a synchronizing CUDA operation"
"""Part of torch's warning of a host sync."""


def warn_of_syncs(device: torch.device, mode: str) -> None:
    """Switch torch's warnings on ("warn") or off ("default")."""
    if device.type == "cuda":
        torch.cuda.set_sync_debug_mode(mode)


class Finished(Exception):  # not an error
    """All steps are measured."""


class Clock:
    """Progress that notes the time of each step and stops after the last one."""

    def __init__(self, steps: int, warmup: int, device: torch.device) -> None:
        self.trainer: Trainer | None = None
        self.marks: list[tuple[float, int]] = []
        self._steps, self._warmup, self._device = steps, warmup, device

    @contextlib.contextmanager
    def task(self, *_: object, **__: object) -> Iterator["Clock"]:
        yield self

    def advance(self, amount: int = 1, **_: object) -> None:
        assert self.trainer is not None
        if not amount or not self.trainer.state.step:
            return
        if self._device.type == "cpu" or self.trainer.state.step in (
            self._warmup,
            self._warmup + self._steps,
        ):
            warn_of_syncs(self._device, "default")
            wait_for(self._device)  # in between the host runs ahead, as in use
            warn_of_syncs(self._device, "warn")
        self.marks.append((time.perf_counter(), self.trainer.state.num_words))
        if self.trainer.state.step == self._warmup + self._steps:
            raise Finished


def write_shards(name: str, pairs: int, folder: Path) -> None:
    size = SIZES[name]
    texts = make_text(size.src_vocab, size.tgt_vocab, pairs)
    src, tgt = ([[*ids, 2] for ids in text] for text in texts)
    write_shard(folder / "train.00000.safetensors", src, tgt, metadata={})


def measure(name: str, args: argparse.Namespace) -> dict[str, float | str]:
    """Measure one row of the table."""
    size, device = SIZES[name], choose_device(args.device)
    precision = choose_precision(args.precisions, device)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        dataset = ParallelDataset.open(Path(args.row), "train")
        model = Seq2Seq(size.model, size.src_vocab, size.tgt_vocab)
        initialize(model, init_range=0.08, seed=1)
        model.to(device)
        settings = TrainConfig(
            **size.train,  # type: ignore[arg-type]
            batch_size=args.batch_size,
            max_batch_tokens=max(32_768, 64 * args.batch_size),
            precision=precision,
            max_epochs=1e6,
            validate_every_epochs=1e6,  # no validation, no checkpoint
        )
        (folder / "checkpoints").mkdir()
        checkpoints = CheckpointManager(
            folder, settings, text=folder, run="", model_info={}
        )
        clock = Clock(args.steps, args.warmup, device)
        clock.trainer = Trainer(
            model,
            settings,
            train=dataset,
            valid=dataset,
            checkpoints=checkpoints,
            progress=clock,  # type: ignore[arg-type]
        )
        with (
            warnings.catch_warnings(record=True) as caught,
            contextlib.suppress(Finished),
            cpu_for_training(args.threads),
        ):
            warnings.simplefilter("always")
            clock.trainer.fit()
        warn_of_syncs(device, "default")
    num_syncs = sum(SYNC in str(warning.message) for warning in caught)
    marks = clock.marks[args.warmup - 1 :]
    (start_s, start_words), (end_s, end_words) = marks[0], marks[-1]
    speeds = [
        (words - before) / (moment - earlier)
        for (earlier, before), (moment, words) in itertools.pairwise(marks)
    ]
    overall = (end_words - start_words) / (end_s - start_s)
    speed = statistics.median(speeds) if device.type == "cpu" else overall
    src_tokens, tgt_tokens = (
        int(x.sum()) for x in (dataset.src_lengths, dataset.tgt_lengths)
    )
    per_word = flop(size, src_tokens, tgt_tokens) / (src_tokens + tgt_tokens)
    memory = peak_bytes(device)
    del model, clock
    peak = matmul_peak(precision, device)
    return {
        "size": name,
        "precision": precision,
        "words_per_s": speed,
        "words_per_s_overall": overall,
        "gflop_per_s": speed * per_word / 1e9,
        "peak_gflop_per_s": peak / 1e9,
        "share_of_peak": speed * per_word / peak,
        "peak_memory_gb": memory / 1e9,
        "syncs_per_step": num_syncs / args.steps,
    }


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precisions", default="auto", help="such as fp32,bf16")
    parser.add_argument("--sizes", default="small,2x512,4x1000,paper")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--pairs", type=int, default=64_000)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--write-text", metavar="PREFIX", help="write the text only")
    parser.add_argument("--row", metavar="SHARDS", help=argparse.SUPPRESS)
    return parser


def main() -> None:
    args = make_parser().parse_args()
    if args.row:
        print(json.dumps(measure(args.sizes, args)))
        return
    if args.write_text:
        size = SIZES[args.sizes.split(",")[0]]
        texts = make_text(size.src_vocab, size.tgt_vocab, args.pairs)
        for side, text in zip(("src", "tgt"), texts, strict=True):
            lines = "".join(" ".join(map(str, ids)) + "\n" for ids in text)
            Path(f"{args.write_text}.{side}").write_text(lines)
        return
    device = choose_device(args.device)
    print(
        f"{describe(device)}, torch {torch.__version__}, batches of {args.batch_size}"
    )
    print(
        f"{'size':<8} {'prec.':<5} {'words/s':>9} {'GFLOP/s':>9} {'peak':>8} "
        f"{'share':>6} {'memory':>8}"
    )
    for name in args.sizes.split(","):
        with tempfile.TemporaryDirectory() as folder:
            write_shards(name, args.pairs, Path(folder))
            for precision in args.precisions.split(","):
                print(table_line(name, precision, folder, args), flush=True)


def measure_apart(
    name: str,
    precision: str,
    shards: str,
    args: argparse.Namespace,
    *,
    timeout_s: float | None = None,
) -> dict[str, float]:
    """Measure one row in a process of its own; errors as `run_row`."""
    flags = vars(args) | {"sizes": name, "precisions": precision, "row": shards}
    arguments = [
        text
        for flag, value in flags.items()
        if value is not None
        for text in (f"--{flag.replace('_', '-')}", str(value))
    ]
    return run_row(__file__, arguments, timeout_s=timeout_s)


def table_line(name: str, precision: str, shards: str, args: argparse.Namespace) -> str:
    """A line of the table."""
    try:
        row = measure_apart(name, precision, shards, args)
    except subprocess.CalledProcessError as error:
        return f"{name:<8} {precision:<5} failed: {last_line(error)}"
    return (
        f"{name:<8} {row['precision']:<5} {row['words_per_s']:>9,.0f} "
        f"{row['gflop_per_s']:>9,.0f} {row['peak_gflop_per_s']:>8,.0f} "
        f"{row['share_of_peak']:>6.0%} {row['peak_memory_gb']:>5.2f} GB"
    )


if __name__ == "__main__":
    main()

"""How fast translation is: sentences and words a second, memory, and whole commands.

    python benchmarks/translate.py                            # this machine, two sizes
    python benchmarks/translate.py --sizes paper --members 1 --sentences 50 --pairs 50
    python benchmarks/translate.py --model runs/one runs/two --source test.en

The first table is of translating many sentences: in process (loading apart, the median
of some passes after a warm-up batch), and as the whole command `s2s translate`, which
starts, loads, and translates once. The second is of two more whole commands, with one
model: `s2s translate` of a single sentence (the cold start), and `s2s score` of given
pairs. Files lie in the system's cache by then. Each row of the first table is a process
of its own, so that its peak memory, loading included, is its own. Words are target
words with the EOS of each sentence, of the best translations alone.

Models are random unless --model names some, and a random model does not know when to
stop. So EOS is made too unlikely to be chosen, and an output may have only as many
words as its source with EOS (`max_length_ratio` 1, `max_length_extra` 0), where the
search puts EOS by itself. Sources have about 12 words. Speed depends on rows x steps
only: here all places of the beam stay taken up to the last step; a trained model drops
some earlier, and goes a few steps further with others. What is written is nonsense.
"""

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from measure import last_line, peak_bytes, plain_model, run_row, zipf_sentences

from pipelines.artifacts.checkpoint import TensorBundle, write_checkpoint
from pipelines.artifacts.vocab import EOS, SPECIALS, Vocabulary
from pipelines.config import ModelConfig, TranslateConfig
from pipelines.errors import UsageError
from pipelines.model.engine.device import choose_device, describe, use_threads
from pipelines.model.engine.packed_linear import Precision, choose_linear
from pipelines.model.seq2seq import Seq2Seq, initialize
from pipelines.search.loading import load_ensemble
from pipelines.search.translator import Translator
from pipelines.text import TextPipeline, TextSettings

PRECISIONS: tuple[Precision, ...] = ("fp32", "tf32", "bf16", "int8")
WARMUP_LINES = 64
NEVER = -30.0
"""Bias of EOS in a random model."""

Settings = dict[str, str | int | float]
"""Settings of the section `translate`."""
RANDOM_LENGTHS: Settings = {"max_length_ratio": 1.0, "max_length_extra": 0}


@dataclass(frozen=True)
class Size:
    """A random model."""

    model: ModelConfig
    src_vocab: int
    tgt_vocab: int


SIZES = {
    "small": Size(
        ModelConfig(layers=1, cells=512, embedding_size=256, tie_embeddings=True),
        20_000,
        20_000,
    ),
    "2x512": Size(plain_model(2, 512), 8_000, 6_500),
    "paper": Size(plain_model(4, 1000), 160_000, 80_000),
    "tiny": Size(plain_model(1, 32), 500, 500),
}


@dataclass(frozen=True)
class Subject:
    """Models on disk and text to measure them with."""

    name: str
    models: list[str]
    source: Path
    pairs: tuple[Path, Path] | None
    """Sources and targets to score."""
    settings: Settings


def make_lines(vocab: int, lengths: np.ndarray, seed: int) -> str:
    """Lines of words by Zipf's law."""
    sentences = zipf_sentences(np.random.default_rng(seed), vocab, lengths)
    return "".join(
        " ".join(f"w{number}" for number in words) + "\n" for words in sentences
    )


def make_lengths(lines: int) -> np.ndarray:
    """Lengths by a gamma law with mean 12 and standard deviation 5."""
    drawn = np.random.default_rng(1).gamma((12 / 5) ** 2, 25 / 12, lines)
    return np.clip(np.rint(drawn), 3, 40).astype(int)


def made_up_words(size: int) -> Vocabulary:
    words = (f"w{number}" for number in range(size - len(SPECIALS)))
    return Vocabulary((*SPECIALS, *words), (1,) * size)


def write_models(size: Size, folder: Path, count: int) -> list[str]:
    """Checkpoints as training writes them, of models that differ."""
    rules = TextSettings("xx", "yy", "none", False, "nfc", True)
    vocabs = made_up_words(size.src_vocab), made_up_words(size.tgt_vocab)
    TextPipeline(rules, *vocabs).save(folder / "text")
    info = {
        "model": size.model.model_dump(),
        "src_vocab_size": size.src_vocab,
        "tgt_vocab_size": size.tgt_vocab,
    }
    paths: list[str] = []
    for seed in range(1, count + 1):
        model = Seq2Seq(size.model, size.src_vocab, size.tgt_vocab)
        initialize(model, init_range=0.08, seed=seed)
        assert model.decoder.output_bias_V is not None
        with torch.no_grad():
            model.decoder.output_bias_V[EOS] = NEVER
        path = write_checkpoint(
            folder,
            seed,
            model=TensorBundle(dict(model.named_parameters()), info),
            trainer=TensorBundle({}, {}),
            text=folder / "text",
            run="",
        )
        paths.append(str(path))
    return paths


def make_subject(name: str, folder: Path, args: argparse.Namespace) -> Subject:
    """Random models and text."""
    size = SIZES[name]
    source, pairs = folder / "source", (folder / "pairs.src", folder / "pairs.tgt")
    lengths = make_lengths(args.pairs)
    source.write_text(make_lines(size.src_vocab, make_lengths(args.sentences), 2))
    pairs[0].write_text(make_lines(size.src_vocab, lengths, 3))
    pairs[1].write_text(make_lines(size.tgt_vocab, lengths, 4))
    models = write_models(size, folder, max(numbers(args.members)))
    return Subject(name, models, source, pairs, common(args) | RANDOM_LENGTHS)


def find_subject(folder: Path, args: argparse.Namespace) -> Subject:
    """Given models, and the first lines of given text."""
    source = folder / "source"
    copy_lines(args.source, source, args.sentences)
    pairs = None
    if args.ref:
        pairs = folder / "pairs.src", folder / "pairs.tgt"
        for original, copy in zip((args.source, args.ref), pairs, strict=True):
            copy_lines(original, copy, args.pairs)
    return Subject("given", args.model, source, pairs, common(args))


def copy_lines(original: Path, copy: Path, count: int) -> None:
    lines = original.read_bytes().removesuffix(b"\n").split(b"\n")[:count]
    copy.write_bytes(b"".join(line + b"\n" for line in lines))


def common(args: argparse.Namespace) -> Settings:
    return {"device": args.device, "threads": args.threads}


def measure(models: list[str], source: str, settings: Settings, repeat: int) -> str:
    """Measure one row in this process; returns JSON."""
    lines = Path(source).read_text(encoding="utf-8").split("\n")[:-1]
    config = TranslateConfig.model_validate(settings)
    started = time.perf_counter()
    loaded = load_ensemble([Path(model) for model in models], config)
    translator = Translator(loaded, config)
    load_s = time.perf_counter() - started
    translator.translate(lines[:WARMUP_LINES])
    seconds: list[float] = []
    for _ in range(repeat):
        num_words = 0
        started = time.perf_counter()
        for first in range(0, len(lines), translator.chunk_size):  # as the command does
            for each in translator.translate(
                lines[first : first + translator.chunk_size]
            ):
                if each.outputs:
                    num_words += len(each.outputs[0].token_log_probs)
        seconds.append(time.perf_counter() - started)
    return json.dumps(
        {
            "sentences": len(lines),
            "words": num_words,
            "seconds": statistics.median(seconds),
            "load_s": load_s,
            "peak_memory_gb": peak_bytes(loaded.device) / 1e9,
        }
    )


def command_s(command: Sequence[str], text: str | None, repeat: int) -> float:
    """Wall seconds of a whole process, the median; text goes to its standard input."""
    seconds: list[float] = []
    for _ in range(repeat):
        started = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "s2scli", *command],
            input=text,
            stdin=subprocess.DEVNULL if text is None else None,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            check=True,
        )
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def flags(folder: Path, models: Sequence[str], settings: Settings) -> list[str]:
    """Options of a command; in a folder without a project no other settings count."""
    options = ["-q", "-d", str(folder)]
    for model in models:
        options += ["-m", model]
    for key, value in settings.items():
        options += ["--set", f"translate.{key}={value}"]
    return options


def measure_apart(
    models: Sequence[str],
    source: Path,
    settings: Settings,
    repeat: int,
    *,
    timeout_s: float | None = None,
) -> dict[str, float]:
    """Measure in a process of its own: see `measure`; errors as `run_row`."""
    arguments = json.dumps([list(models), str(source), settings, repeat])
    return run_row(__file__, ["--row", arguments], timeout_s=timeout_s)


def throughput(
    subject: Subject, num_members: int, settings: Settings, folder: Path, repeat: int
) -> list[str]:
    """Cells of the first table for one setting."""
    models = subject.models[:num_members]
    result = measure_apart(models, subject.source, settings, repeat)
    options = [*flags(folder, models, settings), "-i", str(subject.source)]
    whole_s = command_s(["translate", *options], None, repeat)
    seconds = result["seconds"]
    return [
        f"{result['sentences'] / seconds:,.1f}",
        f"{result['words'] / seconds:,.0f}",
        f"{seconds:.2f}",
        f"{result['load_s']:.2f}",
        f"{whole_s:.2f}",
        f"{result['peak_memory_gb']:.2f} GB",
    ]


def whole_commands(
    subject: Subject, settings: Settings, folder: Path, repeat: int
) -> list[str]:
    """Cells of the second table for one setting."""
    options = flags(folder, subject.models[:1], settings)
    with subject.source.open(encoding="utf-8") as file:
        sentence = file.readline()
    cold_s = command_s(["translate", *options], sentence, 3)
    if subject.pairs is None:
        return [f"{cold_s:.2f}", "", "", ""]
    source, target = subject.pairs
    options += ["--source", str(source), "--target", str(target)]
    score_s = command_s(["score", *options], None, repeat)
    with source.open("rb") as file:
        num_pairs = sum(1 for _ in file)
    return [
        f"{cold_s:.2f}",
        f"{num_pairs:,}",
        f"{score_s:.2f}",
        f"{num_pairs / score_s:,.1f}",
    ]


def known_precisions(device: torch.device) -> list[str]:
    """The precisions that the device supports."""
    known: list[str] = []
    for precision in PRECISIONS:
        try:
            choose_linear(precision, device)
        except UsageError:
            continue
        known.append(precision)
    return known


def numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def subjects(args: argparse.Namespace, folder: Path) -> Iterator[Subject]:
    if args.model:
        yield find_subject(folder, args)
        return
    for name in args.sizes.split(","):
        # Models are large: those of one size are deleted before the next.
        with tempfile.TemporaryDirectory(dir=folder) as own:
            yield make_subject(name, Path(own), args)


THROUGHPUT = {
    "size": 5,
    "models": -6,
    "beam": -4,
    "prec.": 5,
    "sentences/s": -11,
    "words/s": -8,
    "translate s": -11,
    "load s": -6,
    "command s": -9,
    "memory": -8,
}
COMMANDS = {
    "size": 5,
    "prec.": 5,
    "1 sentence s": -12,
    "pairs": -6,
    "score s": -7,
    "pairs/s": -7,
}
"""Columns and their widths; negative ones are right-aligned."""


def show(table: dict[str, int], cells: Sequence[str]) -> str:
    both = zip(cells, table.values(), strict=True)
    padded = (f"{c:<{w}}" if w > 0 else f"{c:>{-w}}" for c, w in both)
    return f"| {' | '.join(padded)} |"


def head(table: dict[str, int]) -> str:
    rules = ["-" * w if w > 0 else "-" * (-w - 1) + ":" for w in table.values()]
    return f"{show(table, list(table))}\n{show(table, rules)}"


def row(
    table: dict[str, int], start: list[str], measured: Callable[[], list[str]]
) -> str:
    """Format a line of a table; an error is shown in it."""
    try:
        return show(table, [*start, *measured()])
    except subprocess.CalledProcessError as error:
        empty = [""] * (len(table) - len(start) - 1)
        return show(table, [*start, f"failed: {last_line(error)}", *empty])


def tables(args: argparse.Namespace, folder: Path) -> None:
    device = choose_device(args.device)
    precisions = args.precisions.split(",")
    if args.precisions == "auto":
        precisions = known_precisions(device)
    rest: list[str] = []
    print(head(THROUGHPUT), flush=True)
    for subject in subjects(args, folder):
        for precision in precisions:
            chosen = subject.settings | {"precision": precision}
            for count, beam in itertools.product(
                numbers(args.members), numbers(args.beams)
            ):
                start = [subject.name, str(count), str(beam), precision]
                settings = chosen | {"beam": beam}
                measured = partial(
                    throughput, subject, count, settings, folder, args.repeat
                )
                print(row(THROUGHPUT, start, measured), flush=True)
            measured = partial(whole_commands, subject, chosen, folder, args.repeat)
            rest.append(row(COMMANDS, [subject.name, precision], measured))
    print("", head(COMMANDS), *rest, sep="\n")


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--sizes", default="small,2x512", help=", ".join(SIZES))
    parser.add_argument("--beams", default="1,12")
    parser.add_argument("--members", help="models that vote; 1,5, or 1 and all given")
    parser.add_argument("--precisions", default="auto", help="such as fp32,int8")
    parser.add_argument("--sentences", type=int, default=500, help="to translate")
    parser.add_argument("--pairs", type=int, default=1000, help="to score")
    parser.add_argument("--repeat", type=int, default=3, help="passes, or commands")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--model", nargs="+", help="measure these, not random ones")
    parser.add_argument("--source", type=Path, help="with --model: text to translate")
    parser.add_argument("--ref", type=Path, help="with --model: to score, line by line")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    return parser


def main() -> None:
    parser = make_parser()
    args = parser.parse_args()
    if args.row:
        print(measure(*json.loads(args.row)))
        return
    if bool(args.model) != bool(args.source) or (args.ref and not args.model):
        parser.error("--model and --source go together, --ref with them")
    if args.members is None:
        count = len(args.model) if args.model else 5
        args.members = ",".join(map(str, sorted({1, count})))
    if args.model and max(numbers(args.members)) > len(args.model):
        parser.error(f"--members {args.members}: {len(args.model)} models are given")
    use_threads(args.threads)
    machine = describe(choose_device(args.device))
    print(
        f"{machine}, torch {torch.__version__}, {args.sentences} sentences, "
        f"medians of {args.repeat}\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        tables(args, Path(folder))


if __name__ == "__main__":
    main()

"""Whether preprocess and binarize stream: peak memory by size of the corpus.

    python benchmarks/preprocess_memory.py --pairs 20000,200000

Synthetic sentences from a fixed vocabulary; each size runs as processes of its own.
Peak memory is that of the largest process, as the system counts it.
"""

import argparse
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WORDS = [f"w{number:x}" for number in range(20_000)]


def write_side(path: Path, num_lines: int, seed: int) -> None:
    generator = random.Random(seed)
    with path.open("w", encoding="utf-8") as file:
        for _ in range(num_lines):
            words = generator.choices(WORDS, k=generator.randint(5, 30))
            file.write(" ".join(words) + " .\n")


def run(*arguments: str) -> float:
    started = time.perf_counter()
    command = [sys.executable, "-m", "s2scli", *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def measure(num_pairs: int, workers: int) -> str:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files: list[str] = []
        for split, count in (("train", num_pairs), ("valid", 100)):
            files.append(f"--{split}")
            for seed, side in enumerate(("en", "fr")):
                write_side(folder / f"{split}.{side}", count, seed)
                files.append(str(folder / f"{split}.{side}"))
        run("init", "-q", "--recipe", "small", *files, str(folder / "project"))
        common = ("-q", "-d", str(folder / "project"), "--workers", str(workers))
        seconds = [run(stage, *common) for stage in ("preprocess", "binarize")]
    peak_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    rates = "  ".join(f"{num_pairs / s:>10,.0f}" for s in seconds)
    return f"{num_pairs:>10,} {rates} {peak_mb:>10,.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", default="20000,200000")
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args()
    heads = ("preprocess/s", "binarize/s", "peak MB")
    print(f"{'pairs':>10} {heads[0]:>10} {heads[1]:>11} {heads[2]:>10}")
    for size in sorted(int(text) for text in args.pairs.split(",")):
        print(measure(size, args.workers), flush=True)


if __name__ == "__main__":
    main()

"""How fast training is: words a second and GFLOP a second, by size of the model.

    python benchmarks/train_speed.py                 # small sizes, for a CPU
    python benchmarks/train_speed.py --device cuda --sizes small,paper --precision bf16

Synthetic batches, so that nothing but the model is measured. Words are source and
target words together, as in the paper (which reports 1,700 a second on one GPU of 2014
and 6,300 on eight). The table gives medians of several steps.
"""

import argparse
import statistics
import time
from dataclasses import dataclass

import torch

from pipelines.config import ModelConfig
from pipelines.data.batch import Batch, make_batch
from pipelines.model.device import choose_device, describe
from pipelines.model.seq2seq import Seq2Seq, initialize


@dataclass(frozen=True)
class Size:
    """Sizes of a model."""

    layers: int
    cells: int
    embedding_size: int
    src_vocab: int
    tgt_vocab: int
    tied: bool = False


SIZES = {
    "tiny": Size(1, 256, 64, 200, 200),
    "small": Size(1, 512, 256, 8000, 6000, tied=True),
    "medium": Size(2, 1000, 500, 30_000, 30_000),
    "paper": Size(4, 1000, 1000, 160_000, 80_000),
}


def random_batch(size: Size, sentences: int, length: int) -> Batch:
    generator = torch.Generator().manual_seed(1)
    shape = (sentences, length)
    src = torch.randint(3, size.src_vocab, shape, generator=generator).tolist()
    tgt = torch.randint(3, size.tgt_vocab, shape, generator=generator).tolist()
    return make_batch(list(zip(src, tgt, strict=True)))


def gflop(size: Size, batch: Batch) -> float:
    """Products of one update: forward once, backward twice."""
    rows = batch.num_tgt_tokens
    widths = [size.embedding_size] + [size.cells] * (size.layers - 1)
    recurrent = sum(2 * 4 * size.cells * (width + size.cells) for width in widths)
    features = size.embedding_size if size.tied else size.cells
    output = 2 * features * size.tgt_vocab
    return 3 * rows * (2 * recurrent + output) / 1e9


def measure(size: Size, args: argparse.Namespace, device: torch.device) -> str:
    config = ModelConfig(
        layers=size.layers,
        cells=size.cells,
        embedding_size=size.embedding_size,
        tie_embeddings=size.tied,
    )
    model = Seq2Seq(config, size.src_vocab, size.tgt_vocab)
    initialize(model, init_range=0.08, seed=1)
    model.to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, fused=True)
    batch = random_batch(size, args.batch_size, args.length).to(device)
    seconds: list[float] = []
    for _ in range(args.steps + args.warmup):
        started = time.perf_counter()
        with torch.autocast(
            device.type, dtype=torch.bfloat16, enabled=args.precision == "bf16"
        ):
            loss, _ = model(batch)
        (loss / batch.num_sentences).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - started)
    median_s = statistics.median(seconds[args.warmup :])
    words = 2 * args.length * args.batch_size
    return (
        f"{median_s * 1000:>9.1f} {words / median_s:>10,.0f} "
        f"{gflop(size, batch) / median_s:>9,.0f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--sizes", default="tiny,small")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--length", type=int, default=14)
    parser.add_argument("--steps", type=int, default=9)
    parser.add_argument("--warmup", type=int, default=2)
    args = parser.parse_args()
    device = choose_device(args.device)
    print(f"{describe(device)}, {args.precision}, batches of {args.batch_size}")
    print(f"{'size':<8} {'ms/step':>9} {'words/s':>10} {'GFLOP/s':>9}")
    for name in args.sizes.split(","):
        print(f"{name:<8} {measure(SIZES[name], args, device)}")


if __name__ == "__main__":
    main()

"""Implementations of the softmax layer: time and memory of forward and backward pass.

    python benchmarks/softmax.py                          # 80,000 words, this machine
    python benchmarks/softmax.py --rows 512 --types 10000 --precision fp32

Ours takes rows in chunks and computes the gradient from each chunk's logits. Compared:
all logits at once, torch's own chunked layer where this torch has it, and liger-kernel
and cut-cross-entropy where they are installed and there is a GPU. Each is a process of
its own; one that cannot run says why. Columns: milliseconds (median), peak memory above
what features and weights take, and how far the loss is from float64's.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from measure import wait_for
from torch import Tensor
from torch.nn.functional import cross_entropy, linear

from pipelines.model.engine.device import choose_device, cpu_for_training, describe
from pipelines.model.engine.matmul import Matmul, choose_matmul
from pipelines.model.engine.precision import choose_precision, tf32_switched
from pipelines.model.loss import summed_cross_entropy

Loss = Callable[[Tensor, Tensor, Tensor, Matmul], Tensor]


def ours(features: Tensor, weight: Tensor, targets: Tensor, matmul: Matmul) -> Tensor:
    return summed_cross_entropy(features, targets, weight, None, matmul)[0]


def autocast(features: Tensor, matmul: Matmul) -> torch.autocast:
    enabled = matmul.backend.precision == "bf16"
    return torch.autocast(features.device.type, torch.bfloat16, enabled=enabled)


def plain(features: Tensor, weight: Tensor, targets: Tensor, matmul: Matmul) -> Tensor:
    with autocast(features, matmul):
        return cross_entropy(linear(features, weight), targets, reduction="sum")


def torch_chunked(
    features: Tensor, weight: Tensor, targets: Tensor, matmul: Matmul
) -> Tensor:
    with autocast(features, matmul):
        layer = torch.nn.functional.linear_cross_entropy
        return layer(features, weight, targets, reduction="sum")


def liger(features: Tensor, weight: Tensor, targets: Tensor, _: Matmul) -> Tensor:
    from liger_kernel.transformers import LigerFusedLinearCrossEntropyLoss

    layer = LigerFusedLinearCrossEntropyLoss(reduction="sum")
    loss: Tensor = layer(weight.bfloat16(), features.bfloat16(), targets)
    return loss


def cut(features: Tensor, weight: Tensor, targets: Tensor, _: Matmul) -> Tensor:
    from cut_cross_entropy import linear_cross_entropy

    loss: Tensor = linear_cross_entropy(
        features.bfloat16(), weight.bfloat16(), targets, reduction="sum"
    )
    return loss


WAYS: dict[str, Loss] = {
    "ours": ours,
    "plain": plain,
    "torch's": torch_chunked,
    "liger": liger,
    "cut": cut,
}


def measure(name: str, args: argparse.Namespace) -> dict[str, float]:
    with cpu_for_training(args.threads):
        return _measure(name, args)


def _measure(name: str, args: argparse.Namespace) -> dict[str, float]:
    device = choose_device(args.device)
    matmul = choose_matmul(args.precision, device)
    torch.manual_seed(1)
    features = torch.randn(args.rows, args.features, device=device).requires_grad_()
    weight = (
        0.05 * torch.randn(args.types, args.features, device=device)
    ).requires_grad_()
    targets = torch.randint(args.types, (args.rows,), device=device)
    loss = torch.zeros(())
    before = memory(device)
    seconds = []
    for _ in range(args.repeats + 2):
        features.grad = weight.grad = None
        wait_for(device)
        started = time.perf_counter()
        with tf32_switched(matmul.backend, device):
            loss = WAYS[name](features, weight, targets, matmul)
            loss.backward()
        wait_for(device)
        seconds.append(time.perf_counter() - started)
    extra = memory(device) - before
    exact = 0.0
    with torch.no_grad():
        for rows in torch.arange(args.rows, device=device).split(64):
            logits = features[rows].double() @ weight.double().T
            exact += cross_entropy(logits, targets[rows], reduction="sum").item()
    return {
        "ms": 1000 * statistics.median(seconds[2:]),
        "gb": extra / 1e9,
        "error": abs(loss.item() - exact) / exact,
    }


def memory(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--rows", type=int, default=3456)
    parser.add_argument("--features", type=int, default=1000)
    parser.add_argument("--types", type=int, default=80_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--row", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.row:
        print(json.dumps(measure(args.ways, args)))
        return
    device = choose_device(args.device)
    print(
        f"{describe(device)}, {choose_precision(args.precision, device)}, "
        f"{args.rows} rows of {args.features}, {args.types} words"
    )
    print(f"{'way':<8} {'ms':>9} {'memory':>9} {'error':>9}")
    for name in args.ways.split(","):
        command = [sys.executable, __file__, *sys.argv[1:], "--row", "--ways", name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"{name:<8} does not run: {done.stderr.splitlines()[-1]}")
            continue
        row = json.loads(done.stdout)
        print(f"{name:<8} {row['ms']:>9.1f} {row['gb']:>6.2f} GB {row['error']:>9.1e}")


if __name__ == "__main__":
    main()

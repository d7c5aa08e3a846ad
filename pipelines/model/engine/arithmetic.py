"""The arithmetic of a run: what its last digits depend on besides settings and data.

Recorded with results, and compared when a training is resumed: a CPU gives the same
bits on the same processor, in the same precision, with as many threads and the same
torch. A GPU never promises the same bits: its sums have no fixed order.
"""

from collections.abc import Mapping
from importlib import metadata

import torch

from pipelines.model.engine.precision import processor_name


def describe_arithmetic(matmul: str, device: torch.device) -> dict[str, str]:
    """Describe all that rounding depends on, as plain text for JSON.

    Args:
        matmul: Description of a backend, such as `bf16 by onednn`.
        device: Device of the matmuls.
    """
    arithmetic = {
        "device": device.type,
        "processor": processor_name(device),
        "precision": matmul.split()[0],
        "matmul": matmul,
    }
    if device.type == "cpu":
        arithmetic["threads"] = str(torch.get_num_threads())
    return arithmetic | {"torch": metadata.version("torch")}


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Describe each entry that changed, as `threads 1 -> 2`."""
    return [
        f"{name} {before.get(name, 'unknown')} -> {now.get(name, 'unknown')}"
        for name in sorted({*before, *now})
        if before.get(name) != now.get(name)
    ]

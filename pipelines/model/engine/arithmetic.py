"""What the last digits of a result depend on besides settings and data.

Recorded where results are kept, and compared when a training is resumed: the same bits
come out on the same processor, in the same precision, with as many threads and the same
torch. A GPU promises them nowhere: its sums have no fixed order.
"""

from collections.abc import Mapping
from importlib import metadata

import torch

from pipelines.model.engine.precision import processor_name


def describe_arithmetic(matmul: str, device: torch.device) -> dict[str, str]:
    """Name all that rounding depends on, as plain text for JSON.

    Args:
        matmul: A backend's description, such as `bf16 by onednn`.
        device: Where it computes.
    """
    found = {
        "device": device.type,
        "processor": processor_name(device),
        "precision": matmul.split()[0],
        "matmul": matmul,
    }
    if device.type == "cpu":
        found["threads"] = str(torch.get_num_threads())
    return found | {"torch": metadata.version("torch")}


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Each part that changed, as `threads 1 -> 2`."""
    return [
        f"{name} {before.get(name, 'unknown')} -> {now.get(name, 'unknown')}"
        for name in sorted({*before, *now})
        if before.get(name) != now.get(name)
    ]

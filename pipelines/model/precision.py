"""In which precision matrix products are made, and what a device can do fast."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from pipelines.errors import UsageError
from pipelines.model.products import has_fast_bf16

Precision = Literal["auto", "fp32", "tf32", "bf16"]


def choose_precision(wanted: Precision, device: torch.device) -> Precision:
    """Turn auto into bf16 where the device multiplies it in hardware, else fp32.

    Raises:
        UsageError: The device does not know the precision.
    """
    on_gpu = device.type == "cuda"
    if wanted == "tf32" and not on_gpu:
        raise UsageError(
            "precision tf32 is for GPUs; this device is a CPU",
            hint="fp32, bf16 or auto",
        )
    if wanted != "auto":
        return wanted
    fast = torch.cuda.is_bf16_supported() if on_gpu else has_fast_bf16()
    return "bf16" if fast else "fp32"


@contextmanager
def computing_in(precision: Precision, device: torch.device) -> Iterator[None]:
    """Make products in a precision inside the block.

    bf16 rounds operands to bfloat16 and sums in float32; weights, cells, losses and
    sums of gradients stay float32. tf32 lets a GPU drop float32's last 13 bits in
    products, which fp32 does not.
    """
    chosen = choose_precision(precision, device)
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = chosen == "tf32"
        torch.backends.cudnn.allow_tf32 = chosen == "tf32"
    with torch.autocast(device.type, torch.bfloat16, enabled=chosen == "bf16"):
        yield

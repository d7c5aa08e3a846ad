"""Where tensors live: the device and the number of CPU threads."""

import contextlib
import ctypes
from collections.abc import Iterator

import torch

from pipelines.errors import UsageError

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
"""Parameters of glibc's mallopt, from malloc.h."""


def choose_device(name: str, *, local_rank: int = 0) -> torch.device:
    """Turn auto, cpu, cuda or cuda:N into a device.

    Args:
        name: As in the settings.
        local_rank: The GPU to take where the name leaves it open.

    Raises:
        UsageError: A GPU is asked for that is not there.
    """
    num_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        name = "cuda" if num_gpus else "cpu"
    if name == "cuda" and local_rank:
        name = f"cuda:{local_rank}"
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= num_gpus:
        raise UsageError(
            f"device {name} asked for, {num_gpus} GPUs found",
            hint="--device auto takes what there is",
        )
    return device


@contextlib.contextmanager
def cpu_for_training(num_threads: int) -> Iterator[None]:
    """Set up the CPU for training inside the block, before it computes anything.

    Numbers too small for float32's normal form become zero: with a few of them among
    its operands, a product takes six times as long. Memory that is freed stays with
    the process: getting it back from Linux page by page costs more than the work on it.

    Args:
        num_threads: 0 leaves the choice to torch.
    """
    use_threads(num_threads)
    torch.set_flush_denormal(True)
    with contextlib.suppress(OSError, AttributeError):  # another C library has its own
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_M_TOP_PAD, 1 << 26)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def use_threads(num_threads: int) -> None:
    """Set the number of CPU threads; 0 leaves it to torch."""
    if num_threads:
        torch.set_num_threads(num_threads)


def describe(device: torch.device) -> str:
    """Name a device for people."""
    if device.type == "cuda":
        return f"GPU {torch.cuda.get_device_name(device)}"
    return f"CPU, {torch.get_num_threads()} threads"

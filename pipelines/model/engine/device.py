"""The device: its choice, its name, its memory, and the number of CPU threads."""

import contextlib
import ctypes
from collections.abc import Iterator
from pathlib import Path

import torch

from pipelines.errors import UsageError
from pipelines.wording import plural

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
"""Parameters of glibc's mallopt, from malloc.h."""
_GROUP_FILES = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    ),
)
"""Limit and usage of the control group, versions 2 and 1."""


def choose_device(name: str, *, local_rank: int = 0) -> torch.device:
    """Turn auto, cpu, cuda or cuda:N into a device.

    Args:
        name: As in the settings.
        local_rank: Index of the GPU where the name does not give one.

    Raises:
        UsageError: The GPU does not exist.
    """
    num_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        name = "cuda" if num_gpus else "cpu"
    if name == "cuda" and local_rank:
        name = f"cuda:{local_rank}"
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= num_gpus:
        raise UsageError(
            f"device {name} asked for, {plural(num_gpus, 'GPU')} found",
            hint="--device auto takes what there is",
        )
    return device


@contextlib.contextmanager
def cpu_for_training(num_threads: int) -> Iterator[None]:
    """Set up the CPU for training inside the block, before it computes anything.

    Denormal numbers become zero: with a few of them among its operands, a matmul takes
    six times as long.

    Args:
        num_threads: CPU threads; 0 leaves the choice to torch.
    """
    use_threads(num_threads)
    keep_freed_memory()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def keep_freed_memory() -> None:
    """Keep freed memory with the process.

    Getting it from Linux again, page by page, costs more than the work on it.
    """
    with contextlib.suppress(OSError, AttributeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_M_TOP_PAD, 1 << 26)


def use_threads(num_threads: int) -> None:
    """Set the number of CPU threads; 0 leaves the choice to torch."""
    if num_threads:
        torch.set_num_threads(num_threads)


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory ran out, on a GPU or on a CPU."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return "DefaultCPUAllocator" in str(error)  # torch has no class for it


def describe(device: torch.device) -> str:
    """Name a device for people."""
    if device.type == "cuda":
        return f"GPU {torch.cuda.get_device_name(device)}"
    return f"CPU, {plural(torch.get_num_threads(), 'thread')}"


def free_memory_bytes(device: torch.device) -> int | None:
    """Free memory of a device now; None where the system does not report it.

    On a CPU it is what Linux calls available, within the limit of a control group.
    """
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    limits = _available_bytes(), _group_bytes()
    return min((limit for limit in limits if limit is not None), default=None)


def _available_bytes() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").split("\n")
        values = dict(line.split(":", 1) for line in lines if ":" in line)
        return 1024 * int(values["MemAvailable"].split()[0])
    except (OSError, ValueError, KeyError):
        return None


def _group_bytes() -> int | None:
    for limit_file, usage_file in _GROUP_FILES:
        try:
            limit = int(Path(limit_file).read_text(encoding="ascii"))
            return max(0, limit - int(Path(usage_file).read_text(encoding="ascii")))
        except (OSError, ValueError):  # no such group, or no limit: "max"
            continue
    return None

"""Where tensors live: the device and the number of CPU threads."""

import torch

from pipelines.errors import UsageError


def choose_device(name: str) -> torch.device:
    """Turn auto, cpu, cuda or cuda:N into a device.

    Raises:
        UsageError: A GPU is asked for that is not there.
    """
    num_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda" if num_gpus else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= num_gpus:
        raise UsageError(
            f"device {name} asked for, {num_gpus} GPUs found",
            hint="--device auto takes what there is",
        )
    return device


def use_threads(num_threads: int) -> None:
    """Set the number of CPU threads; 0 leaves it to torch."""
    if num_threads:
        torch.set_num_threads(num_threads)


def describe(device: torch.device) -> str:
    """Name a device for people."""
    if device.type == "cuda":
        return f"GPU {torch.cuda.get_device_name(device)}"
    return f"CPU, {torch.get_num_threads()} threads"

"""Measuring and synthetic text, for the other scripts of this folder."""

import json
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from pipelines.artifacts.vocab import SPECIALS
from pipelines.config import ModelConfig


def plain_model(layers: int, cells: int) -> ModelConfig:
    return ModelConfig(layers=layers, cells=cells, embedding_size=cells)


def zipf_sentences(
    generator: np.random.Generator, vocab_size: int, lengths: np.ndarray
) -> list[np.ndarray]:
    """Word numbers from 0, by Zipf's law; the vocabulary has special symbols too."""
    weights = np.cumsum(1 / (np.arange(vocab_size - len(SPECIALS)) + 3.7))
    drawn = generator.random(int(lengths.sum())) * weights[-1]
    return np.split(np.searchsorted(weights, drawn), np.cumsum(lengths)[:-1])


def wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_bytes(device: torch.device) -> int:
    """Peak memory of the GPU or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if status.exists():  # unlike getrusage it leaves out the process that started this
        lines = status.read_text().split("\n")
        return 1024 * next(int(x.split()[1]) for x in lines if x.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def run_row(
    script: str, arguments: Sequence[str], *, timeout_s: float | None = None
) -> dict[str, float]:
    """Measure one row in a process of its own, which prints it as JSON.

    Raises:
        CalledProcessError, TimeoutExpired: It failed, or took too long.
    """
    done = subprocess.run(
        [sys.executable, script, *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=timeout_s,
    )
    row: dict[str, float] = json.loads(done.stdout)
    return row


def last_line(error: subprocess.CalledProcessError) -> str:
    """What a process that failed said last, hints apart."""
    text = f"{error.stdout or ''}\n{error.stderr or ''}"
    said = [line for line in text.split("\n") if line and not line.startswith("hint")]
    return said[-1] if said else str(error)

"""Two gloo processes on the CPU."""

import os
import socket
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch

from pipelines.distributed.process_group import process_group


def run_in_two_processes(function, folder):
    """Return the results of `function(distributed, folder)` of both, by rank."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(_run, r, port, function, folder) for r in range(2)]
        return [future.result(timeout=120) for future in futures]


def _run(rank, port, function, folder):
    torch.set_num_threads(1)
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", **address}
    with process_group("cpu") as distributed:
        result = function(distributed, folder)
    assert distributed.cpu_group is None
    assert not [name for name in _thread_names() if "gloo" in name]
    return result


def _thread_names():
    """Threads of this process, those of libraries too."""
    tasks = Path("/proc/self/task")
    if not tasks.is_dir():  # not on Linux
        return []
    return [(task / "comm").read_text().strip() for task in tasks.iterdir()]

"""Start one process per GPU on this machine, as torchrun would.

torchrun works too, over several machines as well. This launcher adds an orderly end:
one error message, the exit status of a single process, and no process left running.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from types import FrameType

from pipelines.errors import PeerError, UsageError
from pipelines.wording import plural

_POLL_EVERY_S = 0.1


def require_gpus(num_processes: int, device: str) -> None:
    """Check that each process has a GPU of its own, unless they run on the CPU.

    Raises:
        UsageError: There are fewer GPUs than processes.
    """
    import torch

    if device == "cpu":
        return
    num_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if num_processes > num_gpus or device not in ("auto", "cuda"):
        raise UsageError(
            f"--num-gpus {num_processes}: {plural(num_gpus, 'GPU')} found, "
            f"device {device}",
            hint="--device cpu trains with so many processes on the CPU",
        )


def launch(
    module: str,
    arguments: Sequence[str],
    *,
    num_processes: int,
    grace_s: float = 5.0,
) -> int:
    """Run `python -m module arguments...` in several processes until all have ended.

    Stop signals are forwarded to all of them.

    Args:
        module: The module to run.
        arguments: Its command line.
        num_processes: Number of processes; each gets its rank in the environment.
        grace_s: Time that the others have to end by themselves after one has failed.

    Returns:
        0, or the exit status of a process that failed; it has reported its error.

    Raises:
        PeerError: A process was killed.
    """
    # -P: a package in the current folder must not shadow the installed one.
    command = [sys.executable, "-P", "-m", module, *arguments]
    port = _free_port()
    processes = [
        # In a process group of its own: Ctrl-C reaches the launcher alone, which
        # forwards it once.
        subprocess.Popen(
            command, env=_environment(rank, num_processes, port), process_group=0
        )
        for rank in range(num_processes)
    ]

    def forward(signal_number: int, _frame: FrameType | None) -> None:
        for process in processes:
            process.send_signal(signal_number)

    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    previous = {number: signal.signal(number, forward) for number in signals}
    try:
        failed_rank = _wait(processes, grace_s)
    finally:
        for process in processes:
            process.kill()
            process.wait()
        for number, handler in previous.items():
            signal.signal(number, handler)
    if failed_rank is None:
        return 0
    status = processes[failed_rank].returncode
    if status < 0:
        raise PeerError(
            f"process {failed_rank + 1} of {num_processes} was ended by "
            f"{signal.Signals(-status).name}",
            hint="s2s train resumes from the last checkpoint",
        )
    return status


def _environment(rank: int, num_processes: int, port: int) -> dict[str, str]:
    """Environment of one process; the user's own OMP_NUM_THREADS wins."""
    rendezvous = {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(num_processes),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    threads = max(1, (os.cpu_count() or 1) // num_processes)
    return {"OMP_NUM_THREADS": str(threads)} | os.environ | rendezvous


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _wait(processes: Sequence["subprocess.Popen[bytes]"], grace_s: float) -> int | None:
    """Wait until all processes have ended, or `grace_s` after one has failed.

    Returns:
        Rank of a process that failed, if any: rather one that was killed than those
        that failed because of it.
    """
    deadline = float("inf")
    while time.monotonic() < deadline:
        statuses = [process.poll() for process in processes]
        if None not in statuses:
            break
        if any(statuses) and deadline == float("inf"):
            deadline = time.monotonic() + grace_s
        time.sleep(_POLL_EVERY_S)
    failed = [
        (status, rank)
        for rank, process in enumerate(processes)
        if (status := process.poll())
    ]
    return min(failed)[1] if failed else None

"""One process for each GPU: the same command again, as torchrun would start it.

`torchrun -m s2scli train` does the same, over several machines too. Here every way to
end is ours: one error, the exit status of a single process, and no process left over.
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

_LOOK_EVERY_S = 0.1
_GRACE_S = 5.0


def require_gpus(number: int, device: str) -> None:
    """Check that each process has a GPU of its own, unless they run on the CPU.

    Raises:
        UsageError: There are fewer.
    """
    import torch

    if device == "cpu":
        return
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if number > found or device not in ("auto", "cuda"):
        raise UsageError(
            f"--num-gpus {number}: {plural(found, 'GPU')} found, device {device}",
            hint="--device cpu trains with so many processes on the CPU",
        )


def launch(number: int) -> None:
    """Run this command in `number` processes until all have ended.

    A stop signal is handed on to all of them.

    Raises:
        PeerError: One was killed.
        SystemExit: One failed, with its exit status; it has said why.
    """
    # -P: a folder `pipelines` or `s2scli` in the current folder must not shadow ours.
    command = [sys.executable, "-P", "-m", "s2scli", *sys.argv[1:]]
    port = _free_port()
    processes = [
        # A group of their own: Ctrl-C comes to us alone and is handed on once.
        subprocess.Popen(command, env=_environment(rank, number, port), process_group=0)
        for rank in range(number)
    ]

    def hand_on(signal_number: int, _frame: FrameType | None) -> None:
        for process in processes:
            process.send_signal(signal_number)

    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    before = {number: signal.signal(number, hand_on) for number in signals}
    try:
        failed = _wait(processes)
    finally:
        for process in processes:
            process.kill()
            process.wait()
        for signal_number, handler in before.items():
            signal.signal(signal_number, handler)
    if failed is not None:
        _tell(failed, processes[failed].returncode, number)


def _environment(rank: int, number: int, port: int) -> dict[str, str]:
    own = {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(number),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    threads = max(1, (os.cpu_count() or 1) // number)
    return {"OMP_NUM_THREADS": str(threads)} | os.environ | own


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _wait(processes: Sequence["subprocess.Popen[bytes]"]) -> int | None:
    """Wait for all; returns the number of one that failed, if one did.

    The others of one that failed have a moment to end by themselves. One that was
    killed is named before those that ended because of it.
    """
    deadline = float("inf")
    while time.monotonic() < deadline:
        states = [process.poll() for process in processes]
        if None not in states:
            break
        if any(states) and deadline == float("inf"):
            deadline = time.monotonic() + _GRACE_S
        time.sleep(_LOOK_EVERY_S)
    failed = [(process.poll(), rank) for rank, process in enumerate(processes)]
    return min(((state, rank) for state, rank in failed if state), default=(0, None))[1]


def _tell(rank: int, status: int, number: int) -> None:
    if status < 0:
        raise PeerError(
            f"process {rank + 1} of {number} was ended by "
            f"{signal.Signals(-status).name}",
            hint="s2s train goes on from the last checkpoint",
        )
    raise SystemExit(status)

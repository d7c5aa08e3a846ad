"""Signals during training: each sets a flag that the loop reads at every step.

SIGINT and SIGTERM save and stop; a second one stops at once. SIGUSR1 saves only.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType

from pipelines.errors import Interrupted

_STOPPING = (signal.SIGINT, signal.SIGTERM)


class SignalRequests:
    """Requests to stop or save, made by signals."""

    def __init__(self) -> None:
        self.stop_signal: int | None = None
        self._save = False

    def pop_save(self) -> bool:
        """Whether a save was requested since the last call."""
        requested, self._save = self._save, False
        return requested

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGUSR1:
            self._save = True
        elif self.stop_signal is None:
            self.stop_signal = number
        else:
            raise Interrupted(
                "stopped at once, before the checkpoint was written",
                hint="s2s train resumes from the one before it",
                signal_number=number,
            )


@contextmanager
def receive_signals() -> Iterator[SignalRequests]:
    """Collect signals inside the block; only the main thread receives any."""
    requests = SignalRequests()
    if current_thread() is not main_thread():
        yield requests
        return
    numbers = (*_STOPPING, signal.SIGUSR1)
    previous = {n: signal.signal(n, requests._receive) for n in numbers}
    try:
        yield requests
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)

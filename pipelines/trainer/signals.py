"""Stopping on request: a signal sets a flag, and the loop looks at it every step.

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
    """What signals have asked for."""

    def __init__(self) -> None:
        self.stop_signal: int | None = None
        self.save = False

    def take_save(self) -> bool:
        """Whether a save was asked for since the last call."""
        asked, self.save = self.save, False
        return asked

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGUSR1:
            self.save = True
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
    """Collect signals while the block runs; outside the main thread there are none."""
    requests = SignalRequests()
    if current_thread() is not main_thread():
        yield requests
        return
    numbers = (*_STOPPING, signal.SIGUSR1)
    before = {n: signal.signal(n, requests._receive) for n in numbers}
    try:
        yield requests
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

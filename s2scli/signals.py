"""Signals that stop a command: SIGINT and SIGTERM raise `Interrupted` with a hint."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from pipelines.errors import Interrupted

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class _State:
    """The hint of the running block, and the stop signal that was received."""

    hint = ""
    received: signal.Signals | None = None


def handle_stop_signals() -> None:
    """Let stop signals raise `Interrupted` with the hint of `hint_if_stopped`."""
    _State.received = None
    for number in STOP_SIGNALS:
        signal.signal(number, _interrupt)


@contextmanager
def hint_if_stopped(hint: str) -> Iterator[None]:
    """Set the hint of a stop signal during the block; the innermost hint counts.

    Raises:
        Interrupted: A signal came earlier, and a library caught our exception as one of
            its own, as happens while torch is imported.
    """
    if (stop := received_stop()) is not None:
        raise stop
    before, _State.hint = _State.hint, hint
    try:
        yield
    finally:
        _State.hint = before


def received_stop() -> Interrupted | None:
    """Return the exception of the stop signal received; None if there was none."""
    if _State.received is None:
        return None
    return Interrupted(
        f"stopped by {_State.received.name}",
        hint=_State.hint,
        signal_number=_State.received,
    )


def _interrupt(number: int, _frame: FrameType | None) -> None:
    _State.received = signal.Signals(number)
    stop = received_stop()
    assert stop is not None
    raise stop

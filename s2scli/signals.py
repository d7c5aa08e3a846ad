"""SIGINT and SIGTERM: what they leave behind, in words that hold for each command."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from pipelines.errors import Interrupted

STOPPING = (signal.SIGINT, signal.SIGTERM)


class _State:
    """What the running block leaves behind when it is stopped, and who asked."""

    outcome = ""
    received: signal.Signals | None = None


def handle_stop_signals() -> None:
    """Let stop signals raise `Interrupted` with the words of `hint_if_stopped` as hint."""
    _State.received = None
    for number in STOPPING:
        signal.signal(number, _interrupt)


@contextmanager
def hint_if_stopped(outcome: str) -> Iterator[None]:
    """Say what is kept if a signal stops the block; an inner block's word counts.

    Raises:
        Interrupted: A signal came before, and a library took its exception for one of
            its own, as happens while torch is imported.
    """
    if (stop := received_stop()) is not None:
        raise stop
    before, _State.outcome = _State.outcome, outcome
    try:
        yield
    finally:
        _State.outcome = before


def received_stop() -> Interrupted | None:
    """What a signal raised in this process, whether or not it came through."""
    if _State.received is None:
        return None
    return Interrupted(
        f"stopped by {_State.received.name}",
        hint=_State.outcome,
        signal_number=_State.received,
    )


def _interrupt(number: int, _frame: FrameType | None) -> None:
    _State.received = signal.Signals(number)
    stop = received_stop()
    assert stop is not None
    raise stop

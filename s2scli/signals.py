"""SIGINT and SIGTERM: what they leave behind, in words that hold for each command."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from pipelines.errors import Interrupted

STOPPING = (signal.SIGINT, signal.SIGTERM)


class _State:
    """What the block that is running leaves behind when it is stopped."""

    outcome = ""


def handle_stop_signals() -> None:
    """Let stop signals raise `Interrupted` with the words of `if_stopped` as hint."""
    for number in STOPPING:
        signal.signal(number, _interrupt)


@contextmanager
def if_stopped(outcome: str) -> Iterator[None]:
    """Say what is kept if a signal stops the block; an inner block's word counts."""
    before, _State.outcome = _State.outcome, outcome
    try:
        yield
    finally:
        _State.outcome = before


def _interrupt(number: int, _frame: FrameType | None) -> None:
    raise Interrupted(
        f"stopped by {signal.Signals(number).name}",
        hint=_State.outcome,
        signal_number=number,
    )

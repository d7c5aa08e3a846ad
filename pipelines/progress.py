"""How long work tells of itself: a protocol, and a silent default.

Stages call `progress.task(...)` and know nothing of terminals; `s2scli.console` draws.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Task(Protocol):
    """One bar."""

    def advance(self, amount: int = 1, **figures: str) -> None:
        """Count `amount` units.

        Args:
            amount: Units done since the last call.
            **figures: Replace the figures shown, the most important one first.
        """


class Progress(Protocol):
    """Something that shows tasks."""

    def task(
        self, description: str, *, total: int | None = None, unit: str = "lines"
    ) -> AbstractContextManager[Task]:
        """Open a task; `total` is None where the end is not known."""


class _SilentTask:
    def advance(self, amount: int = 1, **figures: str) -> None:
        """Show nothing."""


class SilentProgress:
    """Shows nothing: the default of every stage."""

    @contextmanager
    def task(
        self,
        description: str,  # noqa: ARG002 - the protocol's
        *,
        total: int | None = None,  # noqa: ARG002
        unit: str = "lines",  # noqa: ARG002
    ) -> Iterator[Task]:
        """Open a task that shows nothing."""
        yield _SilentTask()


SILENT = SilentProgress()

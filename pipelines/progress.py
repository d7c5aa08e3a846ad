"""Progress reporting: a protocol and a silent default.

Stages call `progress.task(...)` and know no terminal; `s2scli.progress` draws.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Task(Protocol):
    """One task, shown as a progress bar."""

    def advance(self, amount: int = 1, **figures: str) -> None:
        """Advance by `amount` units.

        Args:
            amount: Units done since the last call.
            **figures: Values shown from now on, the most important one first.
        """


class Progress(Protocol):
    """Shows tasks."""

    def task(
        self, description: str, *, total: int | None = None, unit: str = "lines"
    ) -> AbstractContextManager[Task]:
        """Open a task; `total` is None where the number of units is unknown."""


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

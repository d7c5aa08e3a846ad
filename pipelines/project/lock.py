"""The lock that lets one process at a time write in a project."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from pipelines.artifacts.layout import LOCK, Layout
from pipelines.errors import BusyError


@contextmanager
def locked(layout: Layout) -> Iterator[None]:
    """Hold the project's lock, which the system frees however the process ends.

    Raises:
        BusyError: Another process holds it.
    """
    layout.state.mkdir(exist_ok=True)
    with (layout.state / LOCK).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise BusyError(
                f"another s2s (process {holder}) is working in {layout.root}",
                hint="wait for it, or stop it",
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield

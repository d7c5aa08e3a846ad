"""Events and streams of the fake GPU; work is done in the order of the calls."""

from tests.gpu.fake_cuda.transfers import Transfers


class Event:
    """`torch.cuda.Event`."""

    def __init__(self, transfers: Transfers) -> None:
        self._transfers, self._number = transfers, 0

    def record(self, stream: object = None) -> None:
        self._number = self._transfers.num_downloads

    def synchronize(self) -> None:
        self._transfers.sync("event", arrived=self._number)

    def wait(self, stream: object = None) -> None:
        """Another stream waits, and not the host."""

    def query(self) -> bool:
        self._transfers.arrive(self._number)
        return True


class Stream:
    """`torch.cuda.Stream`."""

    def __init__(self, transfers: Transfers) -> None:
        self._transfers = transfers

    def synchronize(self) -> None:
        self._transfers.sync("stream")

    def wait_stream(self, other: object) -> None:
        """Another stream waits, and not the host."""

    wait_event = wait_stream

    def record_event(self, event: Event | None = None) -> Event:
        event = event or Event(self._transfers)
        event.record()
        return event

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_: object) -> None:
        return None

"""Every error that s2s raises on purpose.

    S2SError                  exit status 1
    ├── UsageError            2   two options that contradict each other, a bad value
    ├── ConfigError           2   s2s.toml, a recipe, S2S_* or --set
    ├── CorpusError           2   the user's text: missing, unequal, not UTF-8
    ├── ArtifactError         3   a folder or file that a stage should have written
    │   ├── MissingArtifactError
    │   ├── CorruptArtifactError
    │   └── VersionError
    ├── DivergenceError       1   the loss or the gradient is not finite
    ├── OutOfMemoryError      1   a batch does not fit into memory
    ├── PeerError             1   another process of the same training has ended early
    ├── BusyError             1   another s2s process works in the same project
    └── Interrupted           128 + signal, after a clean save

`message` is the fact: path and line, the value, the value expected. `hint` is the
remedy, usually the next command. `s2scli.main` turns errors into exit statuses.
"""

from collections.abc import Sequence


class S2SError(Exception):
    """Base of all errors that s2s raises on purpose."""

    exit_status = 1

    def __init__(self, message: str = "", *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[object, ...]:
        """Keep the hint when an error crosses a process boundary."""
        return (_rebuild, (type(self), self.message, self.__dict__.copy()))


class UsageError(S2SError):
    """Options of the command contradict each other, or a value is out of range."""

    exit_status = 2


class ConfigError(S2SError):
    """A setting is unknown, has the wrong type or is out of range."""

    exit_status = 2


class CorpusError(S2SError):
    """The user's text cannot be used as it is."""

    exit_status = 2


class ArtifactError(S2SError):
    """An artifact is missing, stale, damaged or of another version."""

    exit_status = 3


class MissingArtifactError(ArtifactError):
    """An artifact does not exist: its stage has not run, or was interrupted."""


class CorruptArtifactError(ArtifactError):
    """An artifact differs from its manifest."""


class VersionError(ArtifactError):
    """An artifact was written by another version of s2s, in another format."""


class DivergenceError(S2SError):
    """The loss or the gradient of a training is not finite.

    Attributes:
        pair_ids: Indices of the training pairs of the batch, from 0.
    """

    def __init__(
        self, message: str = "", *, hint: str = "", pair_ids: Sequence[int] = ()
    ) -> None:
        super().__init__(message, hint=hint)
        self.pair_ids = tuple(pair_ids)


class OutOfMemoryError(S2SError):
    """A batch does not fit into the memory of the machine or of its GPU."""


class PeerError(S2SError):
    """Another process of the same training has ended early."""


class BusyError(S2SError):
    """Another s2s process is working in the same project."""


class Interrupted(S2SError):
    """A signal asked to stop, and the work done so far has been saved."""

    def __init__(
        self, message: str = "", *, hint: str = "", signal_number: int = 2
    ) -> None:
        super().__init__(message, hint=hint)
        self.signal_number = signal_number

    @property
    def exit_status(self) -> int:  # type: ignore[override] # it depends on the signal
        """128 plus the signal's number, as shells report it."""
        return 128 + self.signal_number


def _rebuild(
    kind: type[S2SError], message: str, attributes: dict[str, object]
) -> S2SError:
    error = kind(message)
    error.__dict__.update(attributes)
    return error

"""The program: its commands, and the one place where errors become exit statuses."""

import errno
import gc
import io
import os
import signal
import sys
from typing import Annotated, Any, NoReturn

import typer

from pipelines.errors import Interrupted, S2SError, UsageError
from s2scli.commands import (
    average,
    binarize,
    config,
    init,
    preprocess,
    rescore,
    run,
    score,
    status,
    train,
    translate,
    verify,
)
from s2scli.completion import shell_completion
from s2scli.console import choose_log_format, show_error, show_note
from s2scli.signals import STOP_SIGNALS, handle_stop_signals, received_stop
from s2scli.strict import StrictCommand, StrictGroup

app = typer.Typer(
    name="s2s",
    cls=StrictGroup,
    help="Sequence to sequence learning with neural networks: parallel text in, a "
    "translator out. The stages run in order, each on the artifacts of the previous "
    "one: preprocess, binarize, train, translate, score.\n\n"
    "Example: s2s init demo; cd demo; s2s run",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_STAGES: dict[str, Any] = {"rich_help_panel": "Stages", "cls": StrictCommand}
_PROJECT: dict[str, Any] = {"rich_help_panel": "Project", "cls": StrictCommand}
_TOOLS: dict[str, Any] = {"rich_help_panel": "Tools", "cls": StrictCommand}
app.command("preprocess", **_STAGES)(preprocess.command)
app.command("binarize", **_STAGES)(binarize.command)
app.command("train", **_STAGES)(train.command)
app.command("translate", **_STAGES)(translate.command)
app.command("score", **_STAGES)(score.command)
app.command("init", **(_PROJECT | {"cls": init.InitCommand}))(init.command)
app.command("run", **_PROJECT)(run.command)
app.command("status", **_PROJECT)(status.command)
app.command("verify", **_PROJECT)(verify.command)
app.add_typer(config.app, name="config", rich_help_panel="Project")
app.command("rescore", **_TOOLS)(rescore.command)
app.command("average", **_TOOLS)(average.command)

_STORAGE_HINTS = {
    errno.ENOSPC: "free some space and run the same command again; "
    "what was finished is kept",
    errno.EDQUOT: "your disk quota is used up",
    errno.EROFS: "the file system is read-only; work in another folder",
    errno.EACCES: "check the permissions of the folder",
    errno.EPERM: "check the permissions of the folder",
}


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"s2s {version('s2s')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            help="Show the version and exit.",
        ),
    ] = False,
) -> None:
    pass


def main() -> NoReturn:
    """Run `s2s` and exit.

    The status is 0, 1 after a failure, 2 after a usage error, 3 for a missing or
    damaged artifact, 130 after SIGINT and 143 after SIGTERM. If the reader of standard
    output is gone, the process ends by SIGPIPE.
    """
    # Imports create half a million objects and no garbage: collecting at every 700th
    # object takes a seventh of the start.
    gc.set_threshold(100_000)
    _occupy_closed_streams()
    choose_log_format(sys.argv[1:])
    handle_stop_signals()
    try:
        status = _run()
        sys.stdout.flush()
    except BrokenPipeError:
        _end_by_sigpipe()
    except OSError as error:
        _discard_output()
        status = _show_os_error(error)
    sys.exit(status)


def _run() -> int | str | None:
    try:
        with shell_completion():
            app()
    except Interrupted as stop:
        return _show_stop(stop)
    except S2SError as error:
        show_error(error.message or "failed", error.hint)
        return error.exit_status
    except SystemExit as exit_request:
        # Typer and rich turn a broken pipe into an exit.
        if isinstance(exit_request.__context__, BrokenPipeError):
            raise exit_request.__context__ from None
        return exit_request.code
    except BrokenPipeError:
        raise
    except OSError as error:
        return _show_os_error(error)
    except MemoryError:
        show_error("out of memory", "lower the batch size, or preprocess.part_size")
        return 1
    except Exception:
        # A library may have replaced our exception by one of its own, as numpy does
        # while it is imported.
        if (stopped := received_stop()) is None:
            raise
        return _show_stop(stopped)
    return 0


def _show_stop(stop: Interrupted) -> int:
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_DFL)  # a second signal ends at once
    show_note("; ".join(filter(None, (stop.message or "stopped", stop.hint))))
    return stop.exit_status


def _show_os_error(error: OSError) -> int:
    where = f"{error.filename}: " if error.filename else ""
    hint = _STORAGE_HINTS.get(error.errno or 0, "")
    show_error(f"{where}{error.strerror or error}", hint)
    return 1


class _ClosedOutput(io.TextIOBase):
    """A standard output that the caller has closed."""

    def write(self, _text: str) -> int:
        """Refuse to write.

        Raises:
            UsageError: Always.
        """
        raise UsageError("standard output is closed")


def _occupy_closed_streams() -> None:
    """Open the null device for each standard stream that the caller has closed.

    Otherwise a file that we open would get the descriptor of a stream. The device is
    opened for the wrong direction, so that reading and writing remain errors.
    """
    for descriptor, flags in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, flags)  # takes the lowest number that is free
    if sys.stdout is None:
        sys.stdout = _ClosedOutput()


def _discard_output() -> None:
    """Send buffered output to the null device, as it could not be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _end_by_sigpipe() -> NoReturn:
    """End like a program without a handler: quietly, with status 141 in a shell."""
    _discard_output()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.raise_signal(signal.SIGPIPE)
    sys.exit(128 + signal.SIGPIPE)  # where the signal is blocked

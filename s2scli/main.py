"""The program: its commands, and the one place where errors become exit statuses."""

import errno
import gc
import os
import signal
import sys
from types import FrameType
from typing import Annotated, NoReturn

import typer

from pipelines.errors import Interrupted, S2SError
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
from s2scli.completion import shell_questions
from s2scli.console import show_error

app = typer.Typer(
    name="s2s",
    help="Sequence to sequence learning with neural networks: parallel text in, a "
    "translator out. The stages run in order, each from the artifacts of the one "
    "before: preprocess, binarize, train, translate, score.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_STAGES, _PROJECT = "Stages", "Project"
app.command("preprocess", rich_help_panel=_STAGES)(preprocess.command)
app.command("binarize", rich_help_panel=_STAGES)(binarize.command)
app.command("train", rich_help_panel=_STAGES)(train.command)
app.command("translate", rich_help_panel=_STAGES)(translate.command)
app.command("rescore", rich_help_panel=_STAGES)(rescore.command)
app.command("score", rich_help_panel=_STAGES)(score.command)
app.command("init", rich_help_panel=_PROJECT)(init.command)
app.command("run", rich_help_panel=_PROJECT)(run.command)
app.command("status", rich_help_panel=_PROJECT)(status.command)
app.command("verify", rich_help_panel=_PROJECT)(verify.command)
app.command("average", rich_help_panel=_PROJECT)(average.command)
app.add_typer(config.app, name="config", rich_help_panel=_PROJECT)

_STORAGE_HINTS = {
    errno.ENOSPC: "free some space and run the same command again; "
    "what was finished is kept",
    errno.EDQUOT: "your disk quota is used up",
    errno.EROFS: "the file system is read-only; work in another folder",
    errno.EACCES: "check the permissions of the folder",
    errno.EPERM: "check the permissions of the folder",
}


_VERSION = "Show the version and exit."


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
            "--version", callback=_print_version, is_eager=True, help=_VERSION
        ),
    ] = False,
) -> None:
    pass


def main() -> NoReturn:
    """Run `s2s` and exit: 0; 1 failed; 2 usage; 3 artifact; 130 and 143 by signal."""
    # Imports make half a million objects and no garbage: looking for it at every 700th
    # is a seventh of a start.
    gc.set_threshold(100_000)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        with shell_questions():
            app()
    except S2SError as error:
        show_error(error.message or "stopped", error.hint)
        status = error.exit_status
    except BrokenPipeError:
        # The reader of our output has gone: not an error, and nobody to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        hint = _STORAGE_HINTS.get(error.errno or 0, "")
        show_error(f"{where}{error.strerror or error}", hint)
        status = 1
    except MemoryError:
        show_error("out of memory", "lower the batch size, or preprocess.part_size")
        status = 1
    sys.exit(status)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    raise Interrupted(
        f"stopped by {signal.Signals(number).name}; finished stages are kept",
        hint="the same command goes on",
        signal_number=number,
    )

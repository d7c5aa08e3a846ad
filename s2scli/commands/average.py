"""`s2s average`."""

from pathlib import Path
from typing import Annotated

import typer

from s2scli.completion import complete_checkpoint
from s2scli.console import progress
from s2scli.options import Request, refuse_if, with_common_options


@with_common_options
def command(
    request: Request,
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="DIR",
            help="Write the average to this new folder.",
        ),
    ],
    checkpoints: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="CHECKPOINT",
            help="Average these checkpoints of one training, at least two.",
            autocompletion=complete_checkpoint,
        ),
    ] = None,
    last: Annotated[
        int | None,
        typer.Option(
            "--last",
            min=2,
            metavar="N",
            help="Average the newest N undamaged checkpoints of the project instead.",
        ),
    ] = None,
) -> None:
    """Average the weights of checkpoints of one training.

    The new folder is used like a checkpoint: s2s translate -m DIR.

    Example: s2s average --last 5 -o average
    """
    refuse_if(
        bool(checkpoints) == (last is not None),
        "expected either checkpoints or --last N",
        "s2s average --last 5 -o DIR",
    )
    refuse_if(
        bool(request.overrides),
        "--set: no setting has a part in an average",
        "leave it out",
    )
    from pipelines.tools.average import average_named, average_newest

    if last is None:
        average_named(checkpoints or [], output, progress=progress())
    else:
        train = request.project().layout.train
        average_newest(train, last, output, progress=progress())

"""`s2s train`."""

from typing import Annotated

import typer

from s2scli.commands.stage import bring_up_to_date
from s2scli.options import Device, Force, Request, with_common_options

Fork = Annotated[
    bool,
    typer.Option("--fork", help="Go on from the earlier training with other settings."),
]
TensorBoard = Annotated[
    bool, typer.Option("--tensorboard", help="Write TensorBoard events too.")
]


@with_common_options
def command(
    request: Request,
    device: Device = None,
    tensorboard: TensorBoard = False,
    fork: Fork = False,
    force: Force = False,
) -> None:
    """Train the model, or go on with a training that was stopped.

    Ctrl-C or SIGTERM saves and stops; SIGUSR1 saves and goes on. The same command
    resumes. When settings have changed, --fork goes on from the newest checkpoint with
    the new ones; --force keeps an earlier training aside and starts afresh.
    """
    if fork and force:
        raise typer.BadParameter(
            "--fork goes on from the earlier training, --force starts afresh: "
            "leave one out"
        )
    flags = {"train__device": device, "train__tensorboard": tensorboard or None}
    bring_up_to_date(request.project(**flags), "train", force=force, fork=fork)

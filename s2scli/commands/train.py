"""`s2s train`."""

import logging
from typing import Annotated

import typer

from pipelines.errors import DivergenceError, Interrupted, PeerError
from pipelines.parallel import is_follower, is_one_of_several
from s2scli.commands.stage import bring_up_to_date, tell_done
from s2scli.console import progress
from s2scli.estimate import show_estimate
from s2scli.options import (
    Device,
    DryRun,
    Force,
    Json,
    Project,
    Request,
    refuse,
    with_common_options,
)

NumGpus = Annotated[
    int,
    typer.Option("--num-gpus", min=1, help="Processes, each on a GPU of its own."),
]

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
    num_gpus: NumGpus = 1,
    tensorboard: TensorBoard = False,
    fork: Fork = False,
    force: Force = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Train the model, or go on with a training that was stopped.

    Ctrl-C or SIGTERM saves and stops; SIGUSR1 saves and goes on. The same command
    resumes. When settings have changed, --fork goes on from the newest checkpoint with
    the new ones; --force keeps an earlier training aside and starts afresh. With
    --num-gpus, or under torchrun, several processes share each batch. --dry-run
    prints the cost (parameters, updates, learning rates, memory, disk, time) and writes
    nothing.
    """
    from s2scli.launch import launch, require_gpus

    refuse(
        fork and force,
        "--fork continues the earlier training, --force starts afresh",
        "leave one out",
    )
    flags = {"train__device": device, "train__tensorboard": tensorboard or None}
    project = request.project(**flags)
    if dry_run or as_json:
        show_estimate(
            project,
            dry_run=dry_run,
            as_json=as_json,
            num_gpus=num_gpus,
            others={"--force": force, "--fork": fork},
        )
        return
    if is_one_of_several():
        _train_together(project, force=force, fork=fork)
    elif num_gpus > 1:
        require_gpus(num_gpus, project.config.train.device)
        launch(num_gpus)
    else:
        bring_up_to_date(project, "train", force=force, fork=fork)


def _train_together(project: Project, *, force: bool, fork: bool) -> None:
    from pipelines.run import train_together

    quiet = is_follower()
    if quiet:
        logging.disable(logging.WARNING)
    try:
        done = train_together(
            project.config,
            project.layout,
            force=force,
            fork=fork,
            progress=progress(),
        )
    except (DivergenceError, Interrupted, PeerError) as error:
        if quiet:  # the first process says it
            raise SystemExit(error.exit_status) from error
        raise
    tell_done(done, "train")

"""`s2s train`."""

import logging
import sys
from typing import Annotated

import typer

from pipelines.distributed.environment import is_distributed, is_main_process
from pipelines.errors import DivergenceError, Interrupted, PeerError
from s2scli.commands.stage import bring_up_to_date, tell_done
from s2scli.console import progress
from s2scli.estimate import show_estimate
from s2scli.options import (
    Device,
    Project,
    Request,
    refuse,
    with_common_options,
)

NumGpus = Annotated[
    int,
    typer.Option(
        "--num-gpus",
        metavar="N",
        min=1,
        help="Start N processes, each on a GPU of its own.",
    ),
]

Fork = Annotated[
    bool,
    typer.Option("--fork", help="Continue the earlier training with other settings."),
]
TensorBoard = Annotated[
    bool, typer.Option("--tensorboard", help="Also write TensorBoard events.")
]
Force = Annotated[
    bool,
    typer.Option("--force", help="Keep an earlier training aside and start afresh."),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Print the cost of the training, write nothing."),
]
Json = Annotated[
    bool, typer.Option("--json", help="With --dry-run: print the cost as JSON.")
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
    """Train the model, or resume an interrupted training.

    Ctrl-C or SIGTERM saves and stops, SIGUSR1 saves and continues.
    The same command resumes the training.
    When settings have changed, --fork continues from the newest checkpoint
    with the new ones, and --force starts afresh.
    With --num-gpus, or under torchrun, several processes share each batch.
    The cost is the parameters, updates, learning rates, memory, disk and time.

    Example: s2s train -d demo --set train.max_epochs=10
    """
    from pipelines.distributed.launcher import launch, require_gpus

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
    if is_distributed():
        _train_together(project, force=force, fork=fork)
    elif num_gpus > 1:
        require_gpus(num_gpus, project.config.train.device)
        if status := launch("s2scli", sys.argv[1:], num_processes=num_gpus):
            raise SystemExit(status)
    else:
        bring_up_to_date(project, "train", force=force, fork=fork)


def _train_together(project: Project, *, force: bool, fork: bool) -> None:
    from pipelines.run import train_together

    if not is_main_process():
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
        if not is_main_process():  # rank 0 reports it
            raise SystemExit(error.exit_status) from error
        raise
    tell_done(done, "train")

"""`s2s train`."""

import logging
import sys
from typing import Annotated

import typer

from pipelines.distributed.environment import is_distributed, is_main_process
from pipelines.errors import DivergenceError, Interrupted, PeerError
from s2scli.commands.stage import bring_up_to_date, log_if_up_to_date
from s2scli.console import progress
from s2scli.estimate import show_estimate
from s2scli.options import (
    Device,
    Project,
    Request,
    refuse_if,
    with_common_options,
)

NumGpus = Annotated[
    int,
    typer.Option(
        "--num-gpus",
        metavar="N",
        min=1,
        help="Train with N processes, each on its own GPU.",
    ),
]

Fork = Annotated[
    bool,
    typer.Option(
        "--fork", help="Continue from the newest checkpoint with changed settings."
    ),
]
TensorBoard = Annotated[
    bool, typer.Option("--tensorboard", help="Also write TensorBoard events.")
]
Force = Annotated[
    bool,
    typer.Option("--force", help="Set an earlier training aside and start a new one."),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Print the cost (parameters, updates, learning rates, memory, disk, time) "
        "and write nothing.",
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="With --dry-run, print the cost as JSON.")
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

    Ctrl-C and SIGTERM save a checkpoint and stop the training; the same command resumes
    it. SIGUSR1 saves a checkpoint and continues. If settings have changed, --fork
    continues from the newest checkpoint with the new settings, and --force starts a new
    training. With --num-gpus, or under torchrun, several processes share each batch.

    Example: s2s train -d demo --set train.max_epochs=10
    """
    from pipelines.distributed.launcher import launch, require_gpus

    refuse_if(
        fork and force,
        "--fork continues the earlier training, --force starts afresh",
        "leave one out",
    )
    refuse_if(
        as_json and not dry_run,
        "--json prints the estimate of --dry-run, which is not given",
        "s2s train --dry-run --json",
    )
    refuse_if(
        dry_run and (fork or force),
        f"{'--fork' if fork else '--force'} has no meaning with --dry-run",
        "leave it out, or leave out --dry-run",
    )
    flags = {"train.device": device, "train.tensorboard": tensorboard or None}
    project = request.project(flags)
    if dry_run:
        show_estimate(project, num_gpus=num_gpus, as_json=as_json)
        return
    if is_distributed():
        _train_distributed(project, force=force, fork=fork)
    elif num_gpus > 1:
        require_gpus(num_gpus, project.config.train.device)
        if status := launch("s2scli", sys.argv[1:], num_processes=num_gpus):
            raise SystemExit(status)
    else:
        bring_up_to_date(project, "train", force=force, fork=fork)


def _train_distributed(project: Project, *, force: bool, fork: bool) -> None:
    from pipelines.run import Options, train_distributed

    if not is_main_process():
        logging.disable(logging.WARNING)
    try:
        done = train_distributed(
            project.config,
            project.layout,
            Options(force=force, fork=fork),
            progress=progress(),
        )
    except (DivergenceError, Interrupted, PeerError) as error:
        if not is_main_process():  # rank 0 reports it
            raise SystemExit(error.exit_status) from error
        raise
    log_if_up_to_date(done, "train")

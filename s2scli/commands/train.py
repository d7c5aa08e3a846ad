"""`s2s train`."""

from s2scli.commands.stage import bring_up_to_date
from s2scli.forecast import show_plan
from s2scli.options import (
    Device,
    DryRun,
    Force,
    Json,
    Request,
    with_common_options,
)


@with_common_options
def command(
    request: Request,
    device: Device = None,
    force: Force = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Train the model, or go on with a training that was stopped.

    Ctrl-C or SIGTERM saves and stops; SIGUSR1 saves and goes on. The same command
    resumes. --force sets an earlier training aside and starts afresh. --dry-run only
    tells what it will take: parameters, updates, learning rates, memory, disk, time.
    """
    project = request.project(train__device=device)
    if dry_run or as_json:
        show_plan(project, dry_run=dry_run, as_json=as_json, force=force)
        return
    bring_up_to_date(project, "train", force=force)

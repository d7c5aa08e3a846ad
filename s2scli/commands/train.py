"""`s2s train`."""

from s2scli.commands.stage import bring_up_to_date
from s2scli.options import Device, Force, Request, with_common_options


@with_common_options
def command(request: Request, device: Device = None, force: Force = False) -> None:
    """Train the model, or go on with a training that was stopped.

    Ctrl-C or SIGTERM saves and stops; SIGUSR1 saves and goes on. The same command
    resumes. --force sets an earlier training aside and starts afresh.
    """
    bring_up_to_date(request.project(train__device=device), "train", force=force)

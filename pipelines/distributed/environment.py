"""What torchrun, or `s2s train --num-gpus`, tells a process by its environment."""

import os


def is_distributed() -> bool:
    """Whether torchrun or `s2s train --num-gpus` started this process among others."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def is_follower() -> bool:
    """Whether this is one of several processes and not the first."""
    return is_distributed() and os.environ.get("RANK", "0") != "0"

"""This process's place among others, from the environment variables of torchrun.

`s2s train --num-gpus` sets the same variables.
"""

import os


def is_distributed() -> bool:
    """Whether this process is one of several that train together."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def is_main_process() -> bool:
    """Whether this process has rank 0 or is the only one."""
    return not is_distributed() or os.environ.get("RANK", "0") == "0"

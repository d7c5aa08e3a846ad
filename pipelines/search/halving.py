"""Going on where memory runs out."""

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from pipelines.errors import OutOfMemoryError
from pipelines.model.device import is_out_of_memory

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_halves(
    work: Callable[[Sequence[Item]], list[Result]], items: Sequence[Item]
) -> list[Result]:
    """Work on items together; where memory does not suffice, on each half by itself.

    Raises:
        OutOfMemoryError: It does not suffice for a single item.
    """
    try:
        return work(items)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        if len(items) == 1:
            raise OutOfMemoryError(
                "out of memory with a single sentence",
                hint="a smaller --beam, or translate.max_source_length",
            ) from error
    log.warning("out of memory with %d sentences; halving", len(items))
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    middle = len(items) // 2
    return [*in_halves(work, items[:middle]), *in_halves(work, items[middle:])]

"""Figures of the updates since the last report, kept on the device: nothing waits."""

import math
import time

import torch
from torch import Tensor

from pipelines.data.batch import PairIds
from pipelines.data.loader import LoadedBatch
from pipelines.distributed.process_group import DistributedContext
from pipelines.errors import DivergenceError

_SHOWN = 8


class RunningMetrics:
    """What happened since the last report.

    Args:
        distributed: The processes that train together.
        clip_norm: The threshold of the gradient's norm; 0 where there is none.
    """

    def __init__(self, distributed: DistributedContext, *, clip_norm: float) -> None:
        self._distributed, self._clip_norm = distributed, clip_norm
        self._nll: list[Tensor] = []
        self._norm: list[Tensor] = []
        self._numbers: list[PairIds] = []
        self._started = time.perf_counter()
        self._num_tgt_tokens = self._num_words = 0
        self._num_own_words = self._num_own_cells = 0
        self._waited_s = 0.0

    def __len__(self) -> int:
        """Updates taken in."""
        return len(self._nll)

    def add(
        self, planned: LoadedBatch, nll: Tensor, norm: Tensor, waited_s: float
    ) -> None:
        """Take in one update.

        Args:
            planned: Its pairs.
            nll: Of this process's target tokens, in sum.
            norm: Of the gradient of all processes.
            waited_s: For the batch.
        """
        self._nll.append(nll)
        self._norm.append(norm)
        self._numbers.append(planned.numbers)
        self._num_tgt_tokens += planned.num_tgt_tokens
        self._num_words += planned.num_words
        self._num_own_words += planned.batch.num_words
        self._num_own_cells += planned.batch.num_padded_tokens
        self._waited_s += waited_s

    def figures(self, *, step: int) -> dict[str, float]:
        """Means over the window; waits for the device and the other processes.

        Args:
            step: Of the last update.

        Raises:
            DivergenceError: The loss or the gradient was not finite.
        """
        sums = self._distributed.all_reduce_sum(torch.stack(self._nll))
        nll, norms = torch.stack([sums, torch.stack(self._norm)]).tolist()
        for index, pair in enumerate(zip(nll, norms, strict=True)):
            if not all(map(math.isfinite, pair)):
                raise self._diverged(step - len(self) + 1 + index, *pair, index=index)
        elapsed_s = time.perf_counter() - self._started
        clipped = sum(norm > self._clip_norm > 0 for norm in norms)
        return {
            "loss_nats_per_token": sum(nll) / self._num_tgt_tokens,
            "gradient_norm": sum(norms) / len(norms),
            "clipped_share": clipped / len(norms),
            "words_per_s": self._num_words / elapsed_s,
            "padding_share": 1 - self._num_own_words / self._num_own_cells,
            "data_wait_share": self._waited_s / elapsed_s,
        }

    def _diverged(
        self, step: int, nll: float, norm: float, *, index: int
    ) -> DivergenceError:
        pairs = sorted(self._numbers[index].tolist())
        shown = ", ".join(str(number + 1) for number in pairs[:_SHOWN])
        more = f" and {len(pairs) - _SHOWN} more" if len(pairs) > _SHOWN else ""
        return DivergenceError(
            f"step {step}: loss {nll}, gradient norm {norm}; "
            f"its batch is training pairs {shown}{more}",
            hint="lower train.learning_rate or train.clip_norm; "
            "s2s train goes on from the last checkpoint",
            numbers=pairs,
        )

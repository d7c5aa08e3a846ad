"""Running metrics of training, kept on the device until they are reported."""

import math
import time

import torch
from torch import Tensor

from pipelines.data.dataset import PairIds
from pipelines.data.loader import LoadedBatch
from pipelines.distributed.process_group import DistributedContext
from pipelines.errors import DivergenceError

_MOST_PAIRS_NAMED = 8


class RunningMetrics:
    """Metrics of the updates since the last reset.

    Args:
        distributed: The processes that train together.
        clip_norm: Threshold of the gradient's norm; 0 for none.
    """

    def __init__(self, distributed: DistributedContext, *, clip_norm: float) -> None:
        self._distributed, self._clip_norm = distributed, clip_norm
        self.reset()

    def reset(self) -> None:
        """Forget all updates and restart the clock."""
        self._nll: list[Tensor] = []
        self._norm: list[Tensor] = []
        self._pair_ids: list[PairIds] = []
        self._num_tgt_tokens = self._num_words = 0
        self._num_local_words = self._num_local_padded = 0
        self._waited_s = 0.0
        self._started = time.perf_counter()

    def __len__(self) -> int:
        """Number of updates."""
        return len(self._nll)

    def update(
        self, loaded: LoadedBatch, nll: Tensor, norm: Tensor, *, waited_s: float
    ) -> None:
        """Add one update, without waiting for the device.

        Args:
            loaded: Its batch.
            nll: Summed negative log-likelihood of this process's target tokens.
            norm: Norm of the gradient summed over all processes.
            waited_s: Time spent waiting for the batch.
        """
        self._nll.append(nll)
        self._norm.append(norm)
        self._pair_ids.append(loaded.pair_ids)
        self._num_tgt_tokens += loaded.num_tgt_tokens
        self._num_words += loaded.num_words
        self._num_local_words += loaded.batch.num_words
        self._num_local_padded += loaded.batch.num_padded_tokens
        self._waited_s += waited_s

    def compute(self, *, step: int) -> dict[str, float]:
        """Average the metrics; waits for the device and the other processes.

        Args:
            step: Step after the last update.

        Raises:
            DivergenceError: The loss or the gradient was not finite.
        """
        summed = self._distributed.all_reduce_sum(torch.stack(self._nll))
        nll, norms = torch.stack([summed, torch.stack(self._norm)]).tolist()
        for index, values in enumerate(zip(nll, norms, strict=True)):
            if not all(map(math.isfinite, values)):
                raise self._diverged(step - len(self) + 1 + index, *values, index=index)
        elapsed_s = time.perf_counter() - self._started
        num_clipped = sum(norm > self._clip_norm > 0 for norm in norms)
        return {
            "loss_nats_per_token": sum(nll) / self._num_tgt_tokens,
            "gradient_norm": sum(norms) / len(norms),
            "clipped_share": num_clipped / len(norms),
            "words_per_s": self._num_words / elapsed_s,
            "padding_share": 1 - self._num_local_words / self._num_local_padded,
            "data_wait_share": self._waited_s / elapsed_s,
        }

    def _diverged(
        self, step: int, nll: float, norm: float, *, index: int
    ) -> DivergenceError:
        pairs = sorted(self._pair_ids[index].tolist())
        shown = ", ".join(str(pair + 1) for pair in pairs[:_MOST_PAIRS_NAMED])
        num_more = len(pairs) - _MOST_PAIRS_NAMED
        more = f" and {num_more} more" if num_more > 0 else ""
        return DivergenceError(
            f"step {step}: loss {nll}, gradient norm {norm}; "
            f"its batch is training pairs {shown}{more}",
            hint="lower train.learning_rate or train.clip_norm; "
            "s2s train resumes from the last checkpoint",
            pair_ids=pairs,
        )

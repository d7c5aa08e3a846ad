"""Sums over the updates since the last report, kept on the device: nothing waits."""

import time

import torch
from torch import Tensor

from pipelines.data.batch import Batch
from pipelines.trainer.optimizer import require_finite


class Window:
    """What happened since the last report.

    Args:
        device: Where the losses are.
        clip_norm: The threshold of the gradient's norm; 0 where there is none.
    """

    def __init__(self, device: torch.device, *, clip_norm: float) -> None:
        self._nll, self._norm, self._clipped = torch.zeros(3, device=device).unbind()
        self._clip_norm = clip_norm
        self._started = time.perf_counter()
        self._num_tgt_tokens = 0
        self._num_words = 0
        self.num_steps = 0

    def add(self, batch: Batch, nll: Tensor, norm: Tensor) -> None:
        """Take in one update."""
        self._nll += nll
        self._norm += norm
        if self._clip_norm:
            self._clipped += norm > self._clip_norm
        self.num_steps += 1
        self._num_tgt_tokens += batch.num_tgt_tokens
        self._num_words += batch.num_words

    def figures(self, *, step: int) -> dict[str, float]:
        """Means over the window; this waits for the device.

        Raises:
            DivergenceError: The loss or the gradient was not finite.
        """
        loss = self._nll.item() / self._num_tgt_tokens
        norm = self._norm.item() / self.num_steps
        require_finite(loss, norm, step=step)
        return {
            "loss_nats_per_token": loss,
            "gradient_norm": norm,
            "clipped_share": self._clipped.item() / self.num_steps,
            "words_per_s": self._num_words / (time.perf_counter() - self._started),
        }

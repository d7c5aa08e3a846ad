"""The optimizer, the clipping of the gradient, and the average of the weights."""

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from pipelines.config import TrainConfig
from pipelines.errors import DivergenceError


def build_optimizer(
    parameters: Iterable[nn.Parameter], config: TrainConfig
) -> torch.optim.Optimizer:
    """SGD without momentum (the paper's), Adam or AdamW."""
    rate = config.learning_rate
    match config.optimizer:
        case "sgd":
            return torch.optim.SGD(parameters, lr=rate, fused=True)
        case "adam":
            return torch.optim.Adam(parameters, lr=rate, betas=config.betas, fused=True)
        case "adamw":
            return torch.optim.AdamW(
                parameters,
                lr=rate,
                betas=config.betas,
                weight_decay=config.weight_decay,
                fused=True,
            )


def clip_gradient(parameters: Sequence[nn.Parameter], *, threshold: float) -> Tensor:
    """Scale gradients in place so that their joint L2 norm is at most `threshold`.

    Args:
        parameters: Their gradients are of the loss already divided (by sentences or
            tokens).
        threshold: Largest allowed norm; 5.0 in the paper, 0 leaves them as they are.

    Returns:
        The norm before scaling, a float32 scalar on the gradients' device.

    Source: Sutskever et al. 2014, section 3.4.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = nn.utils.get_total_norm(gradients)
    if threshold:
        nn.utils.clip_grads_with_norm_(parameters, threshold, norm)
    return norm


def require_finite(loss: float, norm: float, *, step: int) -> None:
    """Stop training that has left the real numbers.

    Raises:
        DivergenceError: The loss or the norm of the gradient is not finite.
    """
    if not (math.isfinite(loss) and math.isfinite(norm)):
        raise DivergenceError(
            f"step {step}: loss {loss}, gradient norm {norm}",
            hint="lower train.learning_rate or train.clip_norm; "
            "s2s train goes on from the last checkpoint",
        )


class WeightAverage:
    """An exponential moving average of a model's weights, which is what is saved.

    Args:
        model: Its weights are followed.
        decay: Share of the old average that stays at each update; smaller at first, so
            that the start is forgotten.
    """

    def __init__(self, model: nn.Module, *, decay: float) -> None:
        self._parameters = list(model.parameters())
        self._decay = decay
        self.tensors = [p.detach().clone() for p in self._parameters]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after update number `step` (from 1)."""
        decay = min(self._decay, step / (step + 9))
        average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call] # torch's
        average(self.tensors, [p.detach() for p in self._parameters], step)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the model's weights with the average; twice is nothing."""
        for parameter, average in zip(self._parameters, self.tensors, strict=True):
            kept = parameter.detach().clone()
            parameter.copy_(average)
            average.copy_(kept)

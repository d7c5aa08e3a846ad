"""The optimizer, the clipping of the gradient, and the average of the weights."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from pipelines.config import TrainConfig


def build_optimizer(
    parameters: Iterable[nn.Parameter], config: TrainConfig
) -> torch.optim.Optimizer:
    """SGD without momentum (the paper's), Adam or AdamW, ready for `update`."""
    parameters, rate = list(parameters), config.learning_rate
    match config.optimizer:
        case "sgd":
            return torch.optim.SGD(parameters, lr=rate, foreach=False)
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


def prepare_state(optimizer: torch.optim.Optimizer) -> None:
    """Make the state that the first step would make, to be overwritten."""
    if isinstance(optimizer, torch.optim.SGD):
        return  # has none
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            optimizer.state[parameter] = {
                "step": torch.zeros((), device=parameter.device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }


def state_tensors(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """All tensors of an optimizer's state, in the order of the parameters."""
    states = optimizer.state_dict()["state"]
    return [
        state[name]
        for _, state in sorted(states.items())
        for name in sorted(state)
        if isinstance(state[name], Tensor)
    ]


def update(
    optimizer: torch.optim.Optimizer,
    parameters: Sequence[nn.Parameter],
    *,
    rate: float,
    clip_norm: float,
) -> Tensor:
    """Clip the gradient, take one step with it and let it go.

    Under SGD an embedding's sparse gradient changes only the words it names. Adam's
    moments decay for every word at every step, so that Adam takes it dense.

    Args:
        optimizer: Made by `build_optimizer`.
        parameters: All of them; their gradients are of the loss already divided (by
            sentences or tokens).
        rate: Learning rate.
        clip_norm: As `clip_gradient`.

    Returns:
        The gradient's norm before clipping, a float32 scalar on its device.
    """
    norm = clip_gradient(parameters, threshold=clip_norm)
    if not isinstance(optimizer, torch.optim.SGD):
        for parameter in parameters:
            if parameter.grad is not None and parameter.grad.is_sparse:
                parameter.grad = parameter.grad.to_dense()
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return norm


def clip_gradient(parameters: Sequence[nn.Parameter], *, threshold: float) -> Tensor:
    """Scale gradients in place so that their joint L2 norm is at most `threshold`.

    Args:
        parameters: Those with a gradient count; a sparse one names each row once.
        threshold: Largest allowed norm; 5.0 in the paper, 0 leaves them as they are.

    Returns:
        The norm before scaling, a float32 scalar on the gradients' device.

    Source: Sutskever et al. 2014, section 3.4.
    """
    values = [_values(p.grad) for p in parameters if p.grad is not None]
    norm = nn.utils.get_total_norm(values)
    # Whether there is anything to scale is known for nothing on a CPU; a GPU would have
    # to be waited for.
    if threshold and (norm.is_cuda or not norm <= threshold):
        scale = (threshold / norm).clamp(max=1.0)
        torch._foreach_mul_(values, scale)
    return norm


def _values(gradient: Tensor) -> Tensor:
    if not gradient.is_sparse:
        return gradient
    # Autograd forgets that ours are coalesced; finding it out would make a GPU wait.
    return gradient._coalesced_(True).values()


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

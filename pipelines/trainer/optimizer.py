"""The optimizer, gradient clipping, and the moving average of the weights."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from pipelines.config import TrainConfig


def build_optimizer(
    parameters: Iterable[nn.Parameter], config: TrainConfig
) -> torch.optim.Optimizer:
    """Build SGD without momentum (the paper's), Adam or AdamW."""
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
    """Allocate the state that the first step would allocate, to be overwritten."""
    if isinstance(optimizer, torch.optim.SGD):
        return  # it has no state
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


def clip_and_step(
    optimizer: torch.optim.Optimizer,
    parameters: Sequence[nn.Parameter],
    *,
    learning_rate: float,
    clip_norm: float,
) -> Tensor:
    """Clip the gradients, take one optimizer step and free the gradients.

    Under SGD an embedding's sparse gradient changes only the rows it names. Adam's
    moments decay in every row at every step, so Adam takes the gradient dense.

    Args:
        optimizer: Made by `build_optimizer`.
        parameters: All parameters; their gradients are those of the loss divided by the
            number of sentences or tokens.
        learning_rate: Learning rate of this step.
        clip_norm: Threshold of `clip_gradients`.

    Returns:
        The gradients' joint norm before clipping, a float32 scalar on their device.
    """
    norm = clip_gradients(parameters, threshold=clip_norm)
    if not isinstance(optimizer, torch.optim.SGD):
        for parameter in parameters:
            if parameter.grad is not None and parameter.grad.is_sparse:
                parameter.grad = parameter.grad.to_dense()
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return norm


def clip_gradients(parameters: Sequence[nn.Parameter], *, threshold: float) -> Tensor:
    """Scale gradients in place so that their joint L2 norm is at most `threshold`.

    Args:
        parameters: Those without a gradient are skipped. A sparse gradient names each
            row once.
        threshold: Largest allowed norm; 5.0 in the paper, 0 for no clipping.

    Returns:
        The norm before scaling, a float32 scalar on the gradients' device.

    Source: Sutskever et al. 2014, section 3.4.
    """
    values = [_values(p.grad) for p in parameters if p.grad is not None]
    norm = nn.utils.get_total_norm(values)
    # On a CPU reading the norm costs nothing. On a GPU it would be a host sync, so the
    # gradients are always scaled there.
    if threshold and (norm.is_cuda or not norm <= threshold):
        scale = (threshold / norm).clamp(max=1.0)
        torch._foreach_mul_(values, scale)
    return norm


def _values(gradient: Tensor) -> Tensor:
    if not gradient.is_sparse:
        return gradient
    # Autograd drops the flag that ours are coalesced; checking would be a host sync.
    return gradient._coalesced_(True).values()


class WeightAverage:
    """Exponential moving average of a model's weights: the weights that translate.

    Args:
        model: The model whose weights are averaged.
        decay: Share of the old average that each update keeps; smaller in the first
            updates, so that the initial weights lose their influence.
    """

    def __init__(self, model: nn.Module, *, decay: float) -> None:
        self._parameters = list(model.parameters())
        self._decay = decay
        self.tensors = [p.detach().clone() for p in self._parameters]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Add the weights after update number `step` (from 1)."""
        decay = min(self._decay, step / (step + 9))
        average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call] # torch's
        average(self.tensors, [p.detach() for p in self._parameters], step)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the model's weights with the average; a second call undoes it."""
        for parameter, average in zip(self._parameters, self.tensors, strict=True):
            weights = parameter.detach().clone()
            parameter.copy_(average)
            average.copy_(weights)

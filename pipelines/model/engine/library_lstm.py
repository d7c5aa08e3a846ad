"""torch's LSTM: cuDNN's on a GPU, oneDNN's on a CPU.

All layers go in one call, so that cuDNN can run them side by side, each a step behind
the one below, as the paper's four GPUs did. It has no peepholes, and here no dropout:
between layers that is ours, whose random numbers are a function of the step.

Shapes: N tokens, B sentences, I input size, H cells, L layers.
"""

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from pipelines.model.engine.lstm_autograd import LayerWeights

State = tuple[Tensor, Tensor]
"""(h_LBH, c_LBH)."""

_LSTM, _WEIGHTS_PER_LAYER = 2, 4
"""cuDNN's mode for LSTMs; two matrices and two biases."""


def library_lstm(
    input_NI: Tensor, sizes: Sequence[int], state: State, weights: list[Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """Call torch's LSTM.

    Args:
        input_NI: Float [N, I], step by step, the longest sentence first.
        sizes: Sentences that run at each step; never rising.
        state: Initial state, in the input's dtype.
        weights: Four a layer, in torch's order and the input's dtype.

    Returns:
        Output [N, H], h_LBH, c_LBH, in the input's dtype.
    """
    num_layers, train = len(weights) // _WEIGHTS_PER_LAYER, torch.is_grad_enabled()
    if sizes[-1] == sizes[0]:
        steps_TBI = input_NI.view(len(sizes), sizes[0], -1)
        output, h_LBH, c_LBH = torch.lstm(
            steps_TBI, state, weights, True, num_layers, 0.0, train, False, False
        )
        return output.flatten(0, 1), h_LBH, c_LBH
    sizes_T = torch.tensor(sizes)  # on the CPU, wherever the input is
    return torch.lstm(
        input_NI, sizes_T, state, weights, True, num_layers, 0.0, train, False
    )


def flat_weights(layers: Sequence[LayerWeights]) -> list[Tensor]:
    """The weights in torch's order; its second bias of a layer is zero."""
    flat: list[Tensor] = []
    for layer in layers:
        flat += [layer.input_GI, layer.recurrent_GH, layer.bias_G]
        flat.append(torch.zeros_like(layer.bias_G))
    return flat


class CudnnBuffer:
    """Weights of some layers in cuDNN's own layout, in the precision of its products.

    cuDNN wants all weights in one piece of memory and would gather them at each call.
    Here they keep their place and are copied into it, rounded, once for each update.

    Args:
        layers: The layers' weights: their shapes and their device.
        dtype: Precision of the copy.
    """

    def __init__(self, layers: Sequence[LayerWeights], dtype: torch.dtype) -> None:
        self._views = [
            torch.zeros_like(weight, dtype=dtype) for weight in flat_weights(layers)
        ]
        _flatten(self._views, num_layers=len(layers))

    def load(self, layers: Sequence[LayerWeights]) -> list[Tensor]:
        """Copy the weights; returns them as `library_lstm` takes them.

        Gradients flow back to the weights themselves, in their own dtype.
        """
        wanted = [(w.input_GI, w.recurrent_GH, w.bias_G) for w in layers]
        return list(_Load.apply(self._views, *(w for each in wanted for w in each)))  # type: ignore[no-untyped-call] # torch's


class _Load(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: object, views: Sequence[Tensor], *weights: Tensor
    ) -> tuple[Tensor, ...]:
        del ctx
        own = [view for n, view in enumerate(views) if n % _WEIGHTS_PER_LAYER != 3]
        torch._foreach_copy_(own, list(weights))
        return tuple(view.detach() for view in views)

    @staticmethod
    def backward(ctx: object, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        del ctx
        own = [
            None if gradient is None else gradient.float()
            for n, gradient in enumerate(gradients)
            if n % _WEIGHTS_PER_LAYER != 3
        ]
        return None, *own


@cache
def cudnn_dtype(dtype: torch.dtype, device: torch.device) -> torch.dtype:
    """What cuDNN's LSTM takes instead of a dtype: float32 where it has no bfloat16."""
    if dtype is torch.float32:
        return dtype
    x = torch.zeros(1, 1, 8, dtype=dtype, device=device)
    weights = [x.new_zeros(32, 8), x.new_zeros(32, 8), x.new_zeros(32), x.new_zeros(32)]
    try:
        flat = _flatten(weights, num_layers=1)
        torch._cudnn_rnn(
            *(x, weights, _WEIGHTS_PER_LAYER, flat, x, x, _LSTM, 8, 0, 1),
            *(False, 0.0, False, False, [], None),
        )
    except RuntimeError:
        return torch.float32
    return dtype


@torch.no_grad()
def _flatten(weights: list[Tensor], *, num_layers: int) -> Tensor:
    """Move the weights into one buffer, of which they become views."""
    input_size, cells = weights[0].shape[1], weights[1].shape[1]
    rest = (_LSTM, cells, 0, num_layers, False, False)
    flat: Tensor = torch._cudnn_rnn_flatten_weight(
        weights, _WEIGHTS_PER_LAYER, input_size, *rest
    )
    return flat

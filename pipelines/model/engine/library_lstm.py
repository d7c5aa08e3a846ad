"""torch's LSTM: cuDNN's on a GPU, oneDNN's on a CPU.

All layers run in one call, so that cuDNN can run them in parallel, each one step behind
the layer below, as the paper's four GPUs did. torch's LSTM has no peepholes; dropout
between layers is ours, whose random numbers are a function of the step.

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
"""cuDNN's mode for LSTMs; two matrices and two biases a layer."""


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
    """List the weights in torch's order; the second bias of each layer is zero."""
    return [
        tensor
        for layer in layers
        for tensor in (*_own_weights(layer), torch.zeros_like(layer.bias_G))
    ]


class CudnnBuffer:
    """Copy of some layers' weights in cuDNN's own layout and precision.

    cuDNN needs all weights in one buffer and would gather them at each call. This
    buffer is kept, and the weights are copied into it, rounded, once for each update.

    Args:
        layers: The layers' weights, for their shapes and their device.
        dtype: Precision of the copy.
    """

    def __init__(self, layers: Sequence[LayerWeights], dtype: torch.dtype) -> None:
        self._views = [
            torch.zeros_like(weight, dtype=dtype) for weight in flat_weights(layers)
        ]
        _flatten(self._views, num_layers=len(layers))

    def load(self, layers: Sequence[LayerWeights]) -> list[Tensor]:
        """Copy the weights; returns the copies as `library_lstm` takes them.

        Gradients reach the original weights, in their own dtype.
        """
        weights = [weight for layer in layers for weight in _own_weights(layer)]
        return list(_Load.apply(self._views, *weights))  # type: ignore[no-untyped-call] # torch's


def _own_weights(layer: LayerWeights) -> tuple[Tensor, Tensor, Tensor]:
    return layer.input_GI, layer.recurrent_GH, layer.bias_G


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
    """Dtype of cuDNN's LSTM: the given one, or float32 where it lacks bfloat16."""
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
    """Move the weights into one buffer; they become views of it."""
    input_size, cells = weights[0].shape[1], weights[1].shape[1]
    options = (_LSTM, cells, 0, num_layers, False, False)
    flat: Tensor = torch._cudnn_rnn_flatten_weight(
        weights, _WEIGHTS_PER_LAYER, input_size, *options
    )
    return flat

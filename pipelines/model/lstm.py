"""A stack of LSTM layers: the body of the encoder and of the decoder.

Chooses the engine. A GPU runs cuDNN's LSTM. A CPU runs our own, and so does a GPU with
peepholes, which cuDNN lacks. Small float32 layers on a CPU run oneDNN's, whose time
steps have less overhead.

Shapes: N tokens, B sentences, I input size, H cells, L layers.
"""

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from pipelines.config import ModelConfig
from pipelines.model.engine.library_lstm import (
    CudnnBuffer,
    State,
    cudnn_dtype,
    flat_weights,
    library_lstm,
)
from pipelines.model.engine.lstm_autograd import LayerWeights, run_layer
from pipelines.model.engine.matmul import Matmul

SMALL_CELLS = 512
"""Largest layers that oneDNN runs: its time is 0.55 of our own engine's for 256 cells,
0.9 for 512, 1.07 for 1000 (medians on one machine; docs/experiments.md)."""
_MAX_PADDING = 1.15
"""Most padded tokens for each token with which oneDNN's layers are still faster."""


class LSTMLayer(nn.Module):
    """Weights of one layer, with one bias for each gate."""

    def __init__(self, input_size: int, cells: int, *, peepholes: bool) -> None:
        super().__init__()
        self.input_weight = nn.Parameter(torch.empty(4 * cells, input_size))
        self.recurrent_weight = nn.Parameter(torch.empty(4 * cells, cells))
        self.bias = nn.Parameter(torch.empty(4 * cells))
        self.peephole: nn.Parameter | None = None
        if peepholes:
            self.peephole = nn.Parameter(torch.empty(3, cells))
        scale = 1 / math.sqrt(cells)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -scale, scale)

    @property
    def weights(self) -> LayerWeights:
        """Weights in the form that the engines take."""
        return LayerWeights(
            self.input_weight, self.recurrent_weight, self.bias, self.peephole
        )


class LSTMStack(nn.Module):
    """LSTM layers with dropout after each.

    Dropout acts between layers only, never between time steps (Zaremba et al. 2014).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        sizes = [config.embedding_size] + [config.cells] * (config.layers - 1)
        self.layers = nn.ModuleList(
            LSTMLayer(size, config.cells, peepholes=config.peepholes) for size in sizes
        )
        self.dropout = nn.Dropout(config.dropout)
        self._cells, self._peepholes = config.cells, config.peepholes
        self._cudnn_buffers: dict[tuple[int, int, torch.dtype], CudnnBuffer] = {}

    def forward(
        self,
        input_NI: Tensor,
        sizes: Sequence[int],
        matmul: Matmul,
        state: State | None = None,
    ) -> tuple[Tensor, State]:
        """Run all layers over all time steps.

        Args:
            input_NI: Float [N, I], step by step, the longest sentence first.
            sizes: Sentences that run at each step; never rising.
            matmul: Computes the matmuls.
            state: Initial state; zeros when None.

        Returns:
            The last layer's output [N, H], and the state after each sentence's own
            last step.
        """
        if input_NI.is_cuda and not self._peepholes:
            return self.run_library(input_NI, sizes, matmul, state)
        if sizes[-1] == sizes[0] and self._suits_onednn(matmul, input_NI.device):
            return self.run_library(input_NI, sizes, matmul, state)
        return self.run_own(input_NI, sizes, matmul, state)

    def read(
        self,
        input_NI: Tensor,
        sizes: Sequence[int],
        matmul: Matmul,
        state: State | None = None,
    ) -> Tensor:
        """Run all layers where the last state is not needed; arguments as `forward`.

        Small layers then run in oneDNN with padding, if there is little of it.
        """
        num_tokens, num_steps, batch_size = len(input_NI), len(sizes), sizes[0]
        num_padded = num_steps * batch_size
        pays = num_tokens < num_padded <= _MAX_PADDING * num_tokens
        if not (pays and self._suits_onednn(matmul, input_NI.device)):
            return self.forward(input_NI, sizes, matmul, state)[0]
        runs_TB = torch.arange(batch_size) < torch.tensor(sizes)[:, None]
        rows_N = runs_TB.flatten().nonzero().flatten()
        padded = input_NI.new_zeros(num_padded, input_NI.shape[1])
        padded = padded.index_copy(0, rows_N, input_NI)
        output, _ = self.run_library(padded, (batch_size,) * num_steps, matmul, state)
        return output.index_select(0, rows_N)

    def describe_engine(self, matmul: Matmul, device: torch.device) -> str:
        """Name the engine of the layers, for the recorded arithmetic."""
        if device.type == "cuda" and not self._peepholes:
            dtype = cudnn_dtype(matmul.dtype, device)
            return f"cudnn in {str(dtype).removeprefix('torch.')}"
        return "onednn where it suits" if self._suits_onednn(matmul, device) else "own"

    def _suits_onednn(self, matmul: Matmul, device: torch.device) -> bool:
        """Whether oneDNN's LSTM is faster than our own."""
        supported = matmul.backend.precision == "fp32" and not self._peepholes
        return supported and self._cells <= SMALL_CELLS and device.type == "cpu"

    def run_own(
        self,
        output: Tensor,
        sizes: Sequence[int],
        matmul: Matmul,
        state: State | None = None,
    ) -> tuple[Tensor, State]:
        """Run all layers in our own engine; arguments as `forward`."""
        last_states: list[State] = []
        for number, weights in enumerate(self.layer_weights()):
            initial = None if state is None else (state[0][number], state[1][number])
            output, h_BH, c_BH = run_layer(output, sizes, weights, matmul, initial)
            last_states.append((h_BH, c_BH))
            output = self.dropout(output)
        h, c = zip(*last_states, strict=True)
        return output, (torch.stack(h), torch.stack(c))

    def run_library(
        self,
        input_NI: Tensor,
        sizes: Sequence[int],
        matmul: Matmul,
        state: State | None = None,
    ) -> tuple[Tensor, State]:
        """Run all layers in torch's LSTM, cuDNN's on a GPU, oneDNN's on a CPU.

        Arguments as `forward`. cuDNN takes and returns everything in one dtype: the
        state between encoder and decoder is rounded, too. oneDNN computes in float32.
        """
        dtype = torch.float32
        if input_NI.is_cuda:
            dtype = cudnn_dtype(matmul.dtype, input_NI.device)
        if state is None:
            zeros = input_NI.new_zeros(len(self.layers), sizes[0], self._cells)
            state = zeros, zeros
        output = input_NI
        last_states: list[State] = []
        for layers in self._calls():
            initial = state[0][layers].to(dtype), state[1][layers].to(dtype)
            weights = self._library_weights(layers, dtype, on_gpu=input_NI.is_cuda)
            output, h_LBH, c_LBH = library_lstm(
                output.to(dtype), sizes, initial, weights
            )
            last_states.append((h_LBH, c_LBH))
            output = self.dropout(output)
        h, c = zip(*last_states, strict=True)
        return output, (torch.cat(h), torch.cat(c))

    def _calls(self) -> list[slice]:
        """Layers of each call: all in one, or one by one with dropout between them."""
        if self.training and self.dropout.p:
            return [slice(n, n + 1) for n in range(len(self.layers))]
        return [slice(0, len(self.layers))]

    def _library_weights(
        self, layers: slice, dtype: torch.dtype, *, on_gpu: bool
    ) -> list[Tensor]:
        weights = self.layer_weights()[layers]
        if not on_gpu:
            return flat_weights(weights)
        key = layers.start, layers.stop, dtype
        if key not in self._cudnn_buffers:
            self._cudnn_buffers[key] = CudnnBuffer(weights, dtype)
        return self._cudnn_buffers[key].load(weights)

    def layer_weights(self) -> list[LayerWeights]:
        """Weights of each layer, the lowest first."""
        return [cast(LSTMLayer, layer).weights for layer in self.layers]


def select_state(state: State, rows_N: Tensor) -> State:
    """Select rows of a state; int64 [N] may repeat and reorder."""
    return state[0].index_select(1, rows_N), state[1].index_select(1, rows_N)

"""A stack of LSTM layers: the body of the encoder and of the decoder.

On a GPU the stack runs in cuDNN; on a CPU, and with peepholes (which cuDNN lacks), in
our own engine, but for small layers in float32, where oneDNN's is faster: its steps
cost less beside products that take no time.

Shapes: N tokens, B sentences, I input size, H cells, L layers.
"""

import math
import warnings
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from pipelines.config import ModelConfig
from pipelines.model.recurrence import LayerWeights, run_layer

SMALL_CELLS = 512
"""oneDNN's layer takes 0.55 of our own's time for 256 cells, 0.9 for 512, 1.07 for 1000
(medians side by side on one machine; docs/experiments.md)."""
_PADDED = 1.15
"""Most places, with padding, for each token that small layers are given."""

State = tuple[Tensor, Tensor]
"""(h_LBH, c_LBH): hidden and cell state of every layer."""


class LSTMLayer(nn.Module):
    """The weights of one layer, with one bias for each gate."""

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
        """As the engine takes them."""
        return LayerWeights(
            self.input_weight, self.recurrent_weight, self.bias, self.peephole
        )


class LSTMStack(nn.Module):
    """Layers with dropout above each.

    Dropout acts between layers only, never along time (Zaremba et al. 2014).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        sizes = [config.embedding_size] + [config.cells] * (config.layers - 1)
        self.layers = nn.ModuleList(
            LSTMLayer(size, config.cells, peepholes=config.peepholes) for size in sizes
        )
        self.dropout = nn.Dropout(config.dropout)
        self._cells, self._peepholes = config.cells, config.peepholes

    def forward(
        self, input_NI: Tensor, sizes: Sequence[int], state: State | None = None
    ) -> tuple[Tensor, State]:
        """Run all layers over all time steps.

        Args:
            input_NI: Float [N, I], step by step, the longest sentence first.
            sizes: Sentences that run at each step; never rising.
            state: Where to start; zeros when None.

        Returns:
            The last layer's output [N, H], and the state after each sentence's own
            last step.
        """
        on_gpu = input_NI.is_cuda and not self._peepholes
        if on_gpu or (sizes[-1] == sizes[0] and self._is_small()):
            return self.run_library(input_NI, sizes, state)
        return self.run_own(input_NI, sizes, state)

    def read(
        self, input_NI: Tensor, sizes: Sequence[int], state: State | None = None
    ) -> Tensor:
        """Run all layers where nobody asks for the last state; as `forward`."""
        num_steps, most = len(sizes), sizes[0]
        full = num_steps * most == len(input_NI)
        if full or not self._is_small() or num_steps * most > _PADDED * len(input_NI):
            return self.forward(input_NI, sizes, state)[0]
        runs_TB = torch.arange(most) < torch.tensor(sizes)[:, None]
        rows_N = runs_TB.flatten().nonzero().flatten()
        padded = input_NI.new_zeros(num_steps * most, input_NI.shape[1])
        padded = padded.index_copy(0, rows_N, input_NI)
        output, _ = self.run_library(padded, (most,) * num_steps, state)
        return output.index_select(0, rows_N)

    def _is_small(self) -> bool:
        """Whether oneDNN's layer suits better than our own."""
        plain = not (self._peepholes or torch.is_autocast_enabled("cpu"))
        return plain and self._cells <= SMALL_CELLS

    def run_own(
        self, output: Tensor, sizes: Sequence[int], state: State | None
    ) -> tuple[Tensor, State]:
        """Run in our own engine; arguments as `forward`."""
        hidden: list[Tensor] = []
        cell: list[Tensor] = []
        for number, weights in enumerate(self.layer_weights()):
            start = None if state is None else (state[0][number], state[1][number])
            output, h_BH, c_BH = run_layer(output, sizes, weights, start)
            hidden.append(h_BH)
            cell.append(c_BH)
            output = self.dropout(output)
        return output, (torch.stack(hidden), torch.stack(cell))

    def run_library(
        self, input_NI: Tensor, sizes: Sequence[int], state: State | None
    ) -> tuple[Tensor, State]:
        """Run in torch's LSTM, which is cuDNN's on a GPU; arguments as `forward`.

        All layers go in one call, so that cuDNN can run them side by side, each a step
        behind the one below, as the paper's four GPUs did.
        """
        if state is None:
            zeros = input_NI.new_zeros(len(self.layers), sizes[0], self._cells)
            state = zeros, zeros
        flat: list[Tensor] = []
        for weights in self.layer_weights():
            flat += [weights.input_GI, weights.recurrent_GH, weights.bias_G]
            flat.append(torch.zeros_like(weights.bias_G))  # torch's has two biases
        # They are laid out for cuDNN anew at each update anyway, as they have changed.
        warnings.filterwarnings("ignore", message="RNN module weights are not part of")
        options = (True, len(self.layers), self.dropout.p, self.training, False)
        if sizes[-1] == sizes[0]:
            steps_TBI = input_NI.view(len(sizes), sizes[0], -1)
            output, h_LBH, c_LBH = torch.lstm(steps_TBI, state, flat, *options, False)
            output = output.flatten(0, 1)
        else:
            output, h_LBH, c_LBH = torch.lstm(
                input_NI, torch.tensor(sizes), state, flat, *options
            )
        return self.dropout(output), (h_LBH, c_LBH)

    def layer_weights(self) -> list[LayerWeights]:
        """The weights of each layer, the lowest first."""
        return [cast(LSTMLayer, layer).weights for layer in self.layers]


def select_state(state: State, rows_N: Tensor) -> State:
    """The state of some rows of the batch; int64 [N] may repeat and reorder."""
    return state[0].index_select(1, rows_N), state[1].index_select(1, rows_N)

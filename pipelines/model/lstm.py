"""A stack of LSTM layers: the body of the encoder and of the decoder.

Shapes: T time, B batch, E input size, H cells, L layers.
"""

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from pipelines.config import ModelConfig
from pipelines.model.peephole import PeepholeLSTM

State = tuple[Tensor, Tensor]
"""(h_LBH, c_LBH): hidden and cell state of every layer."""


class LSTMStack(nn.Module):
    """Layers of `torch.nn.LSTM` or `PeepholeLSTM`, with dropout above each.

    Dropout acts between layers only, never along time (Zaremba et al. 2014); the
    recurrence runs in oneDNN on a CPU and in cuDNN on a GPU. Packed sequences take a
    slower path on a CPU: pass padded input only where lengths really differ.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        sizes = [config.embedding_size] + [config.cells] * (config.layers - 1)
        layer = PeepholeLSTM if config.peepholes else nn.LSTM
        self.layers = nn.ModuleList(layer(size, config.cells) for size in sizes)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, input_TBE: Tensor | PackedSequence, state: State | None = None
    ) -> tuple[Tensor | PackedSequence, State]:
        """Run all layers over all time steps.

        Args:
            input_TBE: Float [T, B, E], or the same packed.
            state: Where to start; zeros when None.

        Returns:
            The last layer's output [T, B, H] (packed if the input was), and the state
            after each sentence's last step.
        """
        output = input_TBE
        hidden: list[Tensor] = []
        cell: list[Tensor] = []
        for number, layer in enumerate(self.layers):
            start = None
            if state is not None:
                start = (state[0][number, None], state[1][number, None])
            output, (h_1BH, c_1BH) = layer(output, start)
            hidden.append(h_1BH)
            cell.append(c_1BH)
            output = self._drop(output)
        return output, (torch.cat(hidden), torch.cat(cell))

    def _drop(self, output: Tensor | PackedSequence) -> Tensor | PackedSequence:
        if isinstance(output, PackedSequence):
            return output._replace(data=self.dropout(output.data))
        dropped: Tensor = self.dropout(output)
        return dropped


def select_state(state: State, rows_N: Tensor) -> State:
    """The state of some rows of the batch; int64 [N] may repeat and reorder."""
    return state[0].index_select(1, rows_N), state[1].index_select(1, rows_N)

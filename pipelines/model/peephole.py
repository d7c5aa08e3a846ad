"""An LSTM layer with peephole connections: the cell also speaks to its gates.

Shapes: T time, B batch, E input size, H cells, N all tokens of a packed batch.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.nn.utils.rnn import PackedSequence

_GATES = 4  # input, forget, cell, output: torch.nn.LSTM's order


class PeepholeLSTM(nn.Module):
    """One layer; takes and gives what a one-layer `torch.nn.LSTM` does.

    Diagonal weights lead from the old cell to the input and forget gates and from the
    new cell to the output gate. The steps run one by one, so that this is slower than
    oneDNN's or cuDNN's layer, which have no peepholes.

    Source: Graves 2013, "Generating Sequences With Recurrent Neural Networks",
    equations 7 to 11, which Sutskever et al. 2014 name in section 2.
    """

    def __init__(self, input_size: int, cells: int) -> None:
        super().__init__()
        rows = _GATES * cells
        self.weight_ih_l0 = nn.Parameter(torch.empty(rows, input_size))
        self.weight_hh_l0 = nn.Parameter(torch.empty(rows, cells))
        self.bias_l0 = nn.Parameter(torch.empty(rows))
        self.peephole_l0 = nn.Parameter(torch.empty(3, cells))
        self.cells = cells
        scale = 1 / math.sqrt(cells)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -scale, scale)

    def forward(
        self,
        sequence: Tensor | PackedSequence,
        state: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor | PackedSequence, tuple[Tensor, Tensor]]:
        """Run over all time steps.

        Args:
            sequence: Float [T, B, E], or the same packed.
            state: (h_1BH, c_1BH); zeros when None.

        Returns:
            The output [T, B, H] (packed if the input was) and the state after each
            sentence's last step.
        """
        if isinstance(sequence, PackedSequence):
            return self._run_packed(sequence, state)
        num_steps, batch_size, _ = sequence.shape
        output_NH, final = self._run(
            sequence.flatten(0, 1), [batch_size] * num_steps, state
        )
        return output_NH.view(num_steps, batch_size, self.cells), final

    def _run_packed(
        self, sequence: PackedSequence, state: tuple[Tensor, Tensor] | None
    ) -> tuple[PackedSequence, tuple[Tensor, Tensor]]:
        order, back = sequence.sorted_indices, sequence.unsorted_indices
        if state is not None and order is not None:
            state = state[0][:, order], state[1][:, order]
        sizes = sequence.batch_sizes.tolist()
        output_NH, (h_1BH, c_1BH) = self._run(sequence.data, sizes, state)
        if back is not None:
            h_1BH, c_1BH = h_1BH[:, back], c_1BH[:, back]
        return sequence._replace(data=output_NH), (h_1BH, c_1BH)

    def _run(
        self,
        input_NE: Tensor,
        batch_sizes: list[int],
        state: tuple[Tensor, Tensor] | None,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Run over tokens laid step by step, longest sentences first."""
        input_gates = linear(input_NE, self.weight_ih_l0, self.bias_l0)
        if state is None:
            zeros = input_gates.new_zeros(batch_sizes[0], self.cells)
            h_BH, c_BH = zeros, zeros
        else:
            h_BH, c_BH = state[0][0], state[1][0]
        outputs: list[Tensor] = []
        ended: list[tuple[Tensor, Tensor]] = []  # shortest sentences first
        for gates_BG in torch.split(input_gates, batch_sizes):
            running = len(gates_BG)
            if running < len(h_BH):
                ended.append((h_BH[running:], c_BH[running:]))
                h_BH, c_BH = h_BH[:running], c_BH[:running]
            h_BH, c_BH = self._step(gates_BG, h_BH, c_BH)
            outputs.append(h_BH)
        ended.append((h_BH, c_BH))
        final_h = torch.cat([h for h, _ in reversed(ended)])
        final_c = torch.cat([c for _, c in reversed(ended)])
        return torch.cat(outputs), (final_h[None], final_c[None])

    def _step(
        self, gates_BG: Tensor, h_BH: Tensor, c_BH: Tensor
    ) -> tuple[Tensor, Tensor]:
        gates_BG = gates_BG + linear(h_BH, self.weight_hh_l0)
        into, forget, new, out = gates_BG.chunk(_GATES, dim=1)
        peep_into, peep_forget, peep_out = self.peephole_l0
        into = torch.sigmoid(into + peep_into * c_BH)
        forget = torch.sigmoid(forget + peep_forget * c_BH)
        c_BH = forget * c_BH + into * torch.tanh(new)
        out = torch.sigmoid(out + peep_out * c_BH)
        return out * torch.tanh(c_BH), c_BH

"""One LSTM layer as an autograd function: our own engine.

What makes it fast on a CPU:

- sentences are sorted longest first, so a step is a slice and nothing is padded;
- the input projections of all steps are one matmul, before the loop;
- a step of the backward pass is a few multiplications and one matmul (`lstm_steps`);
- each weight's gradient is one matmul, after the loop.

Source: Graves 2013, "Generating Sequences With Recurrent Neural Networks", equations 7
to 11, which Sutskever et al. 2014 name in section 2; peepholes (diagonal weights from
the cell to the gates) are optional. The equations are in `lstm_steps`.

Shapes: N tokens, B sentences, n sentences that run at a step, I input size, H cells,
G gates (4 H), in torch's order: input, forget, new cell input, output.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pipelines.model.engine.lstm_steps import (
    LSTMSteps,
    SavedFactors,
    continuing_rows,
    previous_values,
)
from pipelines.model.engine.matmul import Matmul


@dataclass(frozen=True, slots=True)
class LayerWeights:
    """Weights of one layer."""

    input_GI: Tensor
    """[4 H, I]"""
    recurrent_GH: Tensor
    """[4 H, H]"""
    bias_G: Tensor
    """[4 H]"""
    peephole_3H: Tensor | None = None
    """[3, H]: to the input gate, the forget gate and the output gate."""


def run_layer(
    input_NI: Tensor,
    sizes: Sequence[int],
    weights: LayerWeights,
    matmul: Matmul,
    state: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Run one layer over all steps.

    Args:
        input_NI: Float [N, I], step by step, the longest sentence first in each.
        sizes: Sentences that run at each step; never rising; their sum is N.
        weights: Weights of the layer.
        matmul: Computes the matmuls.
        state: Initial (h_BH, c_BH); zeros when None.

    Returns:
        The output [N, H] in the precision of the matmuls, and h_BH and c_BH (float32)
        after each sentence's own last step.
    """
    if state is None:
        zeros = input_NI.new_zeros(sizes[0], weights.recurrent_GH.shape[1])
        state = zeros, zeros
    h0_BH, c0_BH = state
    tensors = (
        input_NI,
        h0_BH,
        c0_BH,
        weights.input_GI,
        weights.recurrent_GH,
        weights.bias_G,
        weights.peephole_3H,
    )
    steps = LSTMSteps(sizes, weights.peephole_3H, matmul)
    # Checked here: inside a Function `needs_input_grad` is true even under no_grad.
    if torch.is_grad_enabled() and any(
        tensor is not None and tensor.requires_grad for tensor in tensors
    ):
        output_NH, h_BH, c_BH = _Layer.apply(*tensors, steps)  # type: ignore[no-untyped-call] # torch's
        return output_NH, h_BH, c_BH
    operands = matmul.cast(input_NI), matmul.cast(h0_BH)
    return _forward(*operands, c0_BH.float(), weights, steps, saved=None)


def _forward(
    input_NI: Tensor,
    h0_BH: Tensor,
    c0_BH: Tensor,
    weights: LayerWeights,
    steps: LSTMSteps,
    saved: SavedFactors | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Forward pass; input and hidden state are operands, the cells float32."""
    matmul, sizes = steps.matmul, steps.sizes
    input_weight = matmul.prepare(weights.input_GI, 1)
    recurrent_weight = matmul.prepare(weights.recurrent_GH, len(sizes))
    output_NH, c_BH = steps.forward(
        matmul.linear(input_NI, input_weight, weights.bias_G),
        h0_BH,
        c0_BH,
        recurrent_weight,
        saved,
    )
    ended = [output_NH[rows][n:] for rows, n in continuing_rows(sizes)]
    return output_NH, torch.cat(ended[::-1]), c_BH


class _Layer(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        input_NI: Tensor,
        h0_BH: Tensor,
        c0_BH: Tensor,
        input_GI: Tensor,
        recurrent_GH: Tensor,
        bias_G: Tensor,
        peephole_3H: Tensor | None,
        steps: LSTMSteps,
    ) -> tuple[Tensor, Tensor, Tensor]:
        ctx.dtypes = input_NI.dtype, h0_BH.dtype, c0_BH.dtype
        input_NI, h0_BH = steps.matmul.cast(input_NI), steps.matmul.cast(h0_BH)
        c0_BH = c0_BH.float()
        saved = SavedFactors.allocate(
            len(input_NI), c0_BH, peepholes=peephole_3H is not None
        )
        weights = LayerWeights(input_GI, recurrent_GH, bias_G, peephole_3H)
        results = _forward(input_NI, h0_BH, c0_BH, weights, steps, saved)
        output_NH, _, _ = results
        ctx.save_for_backward(input_NI, h0_BH, output_NH, input_GI, recurrent_GH)
        ctx.steps, ctx.saved = steps, saved
        return results

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad_NH: Tensor, grad_h_BH: Tensor, grad_c_BH: Tensor
    ) -> tuple[Tensor | None, ...]:
        input_NI, h0_BH, output_NH, input_GI, recurrent_GH = ctx.saved_tensors
        steps, saved, matmul = ctx.steps, ctx.saved, ctx.steps.matmul
        ctx.saved = None
        input_dtype, h_dtype, c_dtype = ctx.dtypes
        grad_a_NG, grad_h0_BH, grad_c0_BH = steps.backward(
            saved,
            _add_last_hidden(matmul.cast(grad_NH).clone(), grad_h_BH, steps.sizes),
            grad_c_BH.float().clone(),
            matmul.prepare(recurrent_GH.T, len(steps.sizes)),
        )
        operand_NG = matmul.cast(grad_a_NG)
        grad_input_NI = None
        if ctx.needs_input_grad[0]:
            transposed = matmul.prepare(input_GI.T, 1)
            grad_input_NI = matmul.linear(operand_NG, transposed, None).to(input_dtype)
        previous_h_NH = previous_values(output_NH, h0_BH, steps.sizes)
        grad_recurrent_GH = matmul.weight_gradient(operand_NG, previous_h_NH)
        return (
            grad_input_NI,
            grad_h0_BH.to(h_dtype),
            grad_c0_BH.to(c_dtype),
            matmul.weight_gradient(operand_NG, input_NI),
            grad_recurrent_GH,
            grad_a_NG.sum(0),
            steps.peephole_gradient(saved),
            None,
        )


def _add_last_hidden(
    grad_NH: Tensor, grad_h_BH: Tensor, sizes: Sequence[int]
) -> Tensor:
    """Add the gradient of the last hidden states to that of the output, in place."""
    for rows, n in continuing_rows(sizes):
        size = rows.stop - rows.start
        if n < size:
            grad_NH[rows][n:] += grad_h_BH[n:size]
    return grad_NH

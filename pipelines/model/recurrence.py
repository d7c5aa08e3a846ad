"""One LSTM layer over sentences laid step by step: our own engine, forward and back.

What makes it fast on a CPU:

- sentences stand longest first, so a step is a slice and nothing is padded or packed;
- the products of the input are made for all steps at once, before the loop;
- the forward pass leaves behind not the gates but what their gradients are multiplied
  with, so that a step back is four multiplications and one product;
- the weights' gradients are one product each, after the loop.

Source: Graves 2013, "Generating Sequences With Recurrent Neural Networks", equations 7
to 11, which Sutskever et al. 2014 name in section 2; the diagonal weights from the cell
to the gates (peepholes) may be left out.

Shapes: N tokens, B sentences, n sentences that run at a step, I input size, H cells.
Gates stand in torch's order: input, forget, new cell, output.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pipelines.model.products import products
from pipelines.model.trace import Trace, followed, steps_of


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
    state: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Run one layer over all steps.

    Args:
        input_NI: Float [N, I], step by step, the longest sentence first in each.
        sizes: Sentences that run at each step; never rising; their sum is N.
        weights: Of the layer.
        state: (h_BH, c_BH) to start from; zeros when None.

    Returns:
        The output [N, H] in the precision of the products, and h_BH and c_BH (float32)
        after each sentence's own last step.
    """
    num_cells = weights.recurrent_GH.shape[1]
    if state is None:
        zeros = input_NI.new_zeros(sizes[0], num_cells)
        state = zeros, zeros
    output_NH, h_BH, c_BH = _Layer.apply(  # type: ignore[no-untyped-call] # torch's
        input_NI,
        *state,
        weights.input_GI,
        weights.recurrent_GH,
        weights.bias_G,
        weights.peephole_3H,
        tuple(sizes),
    )
    return output_NH, h_BH, c_BH


class _Layer(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        input_NI: Tensor,
        h_BH: Tensor,
        c_BH: Tensor,
        input_GI: Tensor,
        recurrent_GH: Tensor,
        bias_G: Tensor,
        peephole_3H: Tensor | None,
        sizes: tuple[int, ...],
    ) -> tuple[Tensor, Tensor, Tensor]:
        keep = any(ctx.needs_input_grad)
        device_type = input_NI.device.type
        multiply = products(input_NI.device)
        with torch.autocast(device_type, enabled=False):
            inputs = multiply.cast(input_NI)
            h0 = multiply.cast(h_BH)
            gates_NG = multiply.apply(inputs, multiply.prepare(input_GI, 1), bias_G)
            weight = multiply.prepare(recurrent_GH, len(sizes))
            trace = Trace(gates_NG, sizes, h0, c_BH.float(), peephole_3H, keep=keep)
            for number, rows in enumerate(steps_of(sizes)):
                trace.step(number, rows, weight, multiply)
        output_NH, last_c_BH = trace.finish()
        if keep:
            ctx.save_for_backward(
                inputs, h0, output_NH, input_GI, recurrent_GH, peephole_3H
            )
            ctx.trace, ctx.sizes, ctx.multiply = trace, sizes, multiply
            ctx.input_dtype = input_NI.dtype
            ctx.state_dtype = h_BH.dtype, c_BH.dtype
        ended = [output_NH[rows][n:] for rows, n in followed(sizes)]
        return output_NH, torch.cat(ended[::-1]), last_c_BH

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad_NH: Tensor, grad_h_BH: Tensor, grad_c_BH: Tensor
    ) -> tuple[Tensor | None, ...]:
        inputs, h0, output_NH, input_GI, recurrent_GH, peephole_3H = ctx.saved_tensors
        trace, sizes, multiply = ctx.trace, ctx.sizes, ctx.multiply
        with torch.autocast(inputs.device.type, enabled=False):
            grad_NH = multiply.cast(grad_NH).clone()
            for rows, n in followed(sizes):
                size = rows.stop - rows.start
                grad_NH[rows][n:] += grad_h_BH[n:size]
            delta_NG, grad_h0, grad_c0 = trace.back(
                grad_NH,
                grad_c_BH.float().clone(),
                sizes,
                multiply.prepare(recurrent_GH.T, len(sizes)),
                peephole_3H,
                multiply,
            )
            operand = multiply.cast(delta_NG)
            grad_input = None
            if ctx.needs_input_grad[0]:
                transposed = multiply.prepare(input_GI.T, 1)
                grad_input = multiply.apply(operand, transposed, None)
                grad_input = grad_input.to(ctx.input_dtype)
            before = [output_NH[rows][:n] for rows, n in followed(sizes)]
            grad_recurrent = multiply.outer(operand, torch.cat([h0, *before]))
            grad_input_weight = multiply.outer(operand, inputs)
            grad_peephole = trace.peephole_gradient(delta_NG, sizes)
        ctx.trace = None
        return (
            grad_input,
            grad_h0.to(ctx.state_dtype[0]),
            grad_c0.to(ctx.state_dtype[1]),
            grad_input_weight,
            grad_recurrent,
            delta_NG.sum(0),
            grad_peephole,
            None,
        )

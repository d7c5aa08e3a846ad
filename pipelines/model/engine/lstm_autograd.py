"""Forward and backward pass of one LSTM layer, step by step: our own engine.

What makes it fast on a CPU:

- sentences are sorted longest first, so a step is a slice and nothing is padded;
- the products of the input are computed for all steps at once, before the loop;
- a step of the backward pass is four multiplications and one product (`lstm_steps`);
- each weight's gradient is one product, after the loop.

Source: Graves 2013, "Generating Sequences With Recurrent Neural Networks", equations 7
to 11, which Sutskever et al. 2014 name in section 2; peepholes (diagonal weights from
the cell to the gates) are optional.

Shapes: N tokens, B sentences, n sentences that run at a step, I input size, H cells,
G gates (4 H), in torch's order: input, forget, new cell, output.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pipelines.model.engine.lstm_steps import LSTMSteps, continuing_rows
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
        matmul: Computes the products.
        state: Initial (h_BH, c_BH); zeros when None.

    Returns:
        The output [N, H] in the precision of the products, and h_BH and c_BH (float32)
        after each sentence's own last step.
    """
    if state is None:
        zeros = input_NI.new_zeros(sizes[0], weights.recurrent_GH.shape[1])
        state = zeros, zeros
    tensors = (
        input_NI,
        *state,
        weights.input_GI,
        weights.recurrent_GH,
        weights.bias_G,
        weights.peephole_3H,
    )
    # Asked here: inside a Function `needs_input_grad` is true even under no_grad.
    given = [tensor for tensor in tensors if tensor is not None]
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in given):
        output_NH, h_BH, c_BH = _Layer.apply(  # type: ignore[no-untyped-call] # torch's
            *tensors, tuple(sizes), matmul
        )
        return output_NH, h_BH, c_BH
    return _forward(*tensors, sizes, matmul, saves=False).results


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
        matmul: Matmul,
    ) -> tuple[Tensor, Tensor, Tensor]:
        run = _forward(
            *(input_NI, h_BH, c_BH, input_GI, recurrent_GH, bias_G, peephole_3H),
            *(sizes, matmul),
            saves=True,
        )
        output_NH, _, _ = run.results
        ctx.save_for_backward(
            run.input_NI, run.h0_BH, output_NH, input_GI, recurrent_GH
        )
        ctx.steps, ctx.sizes, ctx.matmul = run.steps, sizes, matmul
        ctx.input_dtype = input_NI.dtype
        ctx.state_dtype = h_BH.dtype, c_BH.dtype
        return run.results

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad_NH: Tensor, grad_h_BH: Tensor, grad_c_BH: Tensor
    ) -> tuple[Tensor | None, ...]:
        inputs, h0, output_NH, input_GI, recurrent_GH = ctx.saved_tensors
        steps, sizes, matmul = ctx.steps, ctx.sizes, ctx.matmul
        grad_NH = matmul.cast(grad_NH).clone()
        for rows, n in continuing_rows(sizes):
            size = rows.stop - rows.start
            grad_NH[rows][n:] += grad_h_BH[n:size]
        delta_NG, grad_h0, grad_c0 = steps.backward(
            grad_NH,
            grad_c_BH.float().clone(),
            matmul.prepare(recurrent_GH.T, len(sizes)),
        )
        operand = matmul.cast(delta_NG)
        grad_input = None
        if ctx.needs_input_grad[0]:
            transposed = matmul.prepare(input_GI.T, 1)
            grad_input = matmul.apply(operand, transposed, None).to(ctx.input_dtype)
        before = [output_NH[rows][:n] for rows, n in continuing_rows(sizes)]
        grad_recurrent = matmul.outer(operand, torch.cat([h0, *before]))
        grad_input_weight = matmul.outer(operand, inputs)
        grad_peephole = (
            steps.peephole_gradient(delta_NG) if steps.has_peepholes else None
        )
        ctx.steps = None
        return (
            grad_input,
            grad_h0.to(ctx.state_dtype[0]),
            grad_c0.to(ctx.state_dtype[1]),
            grad_input_weight,
            grad_recurrent,
            delta_NG.sum(0),
            grad_peephole,
            None,
            None,
        )


@dataclass(frozen=True, slots=True)
class _ForwardPass:
    input_NI: Tensor
    """As an operand."""
    h0_BH: Tensor
    """As an operand."""
    results: tuple[Tensor, Tensor, Tensor]
    steps: LSTMSteps


def _forward(
    input_NI: Tensor,
    h_BH: Tensor,
    c_BH: Tensor,
    input_GI: Tensor,
    recurrent_GH: Tensor,
    bias_G: Tensor,
    peephole_3H: Tensor | None,
    sizes: Sequence[int],
    matmul: Matmul,
    *,
    saves: bool,
) -> _ForwardPass:
    inputs, h0 = matmul.cast(input_NI), matmul.cast(h_BH)
    gates_NG = matmul.apply(inputs, matmul.prepare(input_GI, 1), bias_G)
    weight = matmul.prepare(recurrent_GH, len(sizes))
    steps = LSTMSteps(
        gates_NG, sizes, h0, c_BH.float(), peephole_3H, matmul, saves=saves
    )
    del gates_NG
    output_NH, last_c_BH = steps.forward(weight)
    ended = [output_NH[rows][n:] for rows, n in continuing_rows(sizes)]
    results = output_NH, torch.cat(ended[::-1]), last_c_BH
    return _ForwardPass(inputs, h0, results, steps)

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

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pipelines.model.products import Products, products

_aten = torch.ops.aten


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


def _steps(sizes: Sequence[int]) -> Iterator[tuple[slice, int]]:
    """The rows of each step and their number."""
    start = 0
    for size in sizes:
        yield slice(start, start + size), size
        start += size


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
            trace = _Trace(gates_NG, h0, c_BH.float(), peephole_3H, keep=keep)
            for rows, size in _steps(sizes):
                trace.step(rows, size, weight, multiply)
        output_NH, last_c_BH = trace.finish()
        if keep:
            ctx.save_for_backward(
                inputs, h0, output_NH, input_GI, recurrent_GH, peephole_3H
            )
            ctx.trace, ctx.sizes, ctx.multiply = trace, sizes, multiply
            ctx.input_dtype = input_NI.dtype
            ctx.state_dtype = h_BH.dtype, c_BH.dtype
        ended = [output_NH[rows][n:] for rows, n in _followed(sizes)]
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
            for rows, n in _followed(sizes):
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
            before = [output_NH[rows][:n] for rows, n in _followed(sizes)]
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


def _followed(sizes: Sequence[int]) -> Iterator[tuple[slice, int]]:
    """The rows of each step, with the number of sentences that run on after it."""
    for (rows, _), following in zip(_steps(sizes), [*sizes[1:], 0], strict=True):
        yield rows, following


class _Trace:
    """A layer's run, step by step, and what the way back needs of it.

    Args:
        gates_NG: Products of the input, biases added.
        h_BH: Where the run starts, in the products' precision.
        c_BH: The same, float32.
        peephole_3H: Diagonal weights, or None.
        keep: Whether there will be a way back.
    """

    def __init__(
        self,
        gates_NG: Tensor,
        h_BH: Tensor,
        c_BH: Tensor,
        peephole_3H: Tensor | None,
        *,
        keep: bool,
    ) -> None:
        num_rows, self._cells = len(gates_NG), h_BH.shape[1]
        self._gates, self._peephole = gates_NG, peephole_3H
        self._before = h_BH
        self._c_BH = c_BH.clone()
        self._output_NH = gates_NG.new_empty(num_rows, self._cells)
        self._keep = keep
        if keep:

            def rows(width: int) -> Tensor:
                return gates_NG.new_empty(num_rows, width, dtype=torch.float32)

            # Gradients of the gates are these times the gradient of the cell (the
            # first three) or of the output (the last).
            self._factors_NG = rows(4 * self._cells)
            self._carry_NH = rows(self._cells)
            self._forget_NH = rows(self._cells)
            if peephole_3H is not None:
                self._c_NH = rows(self._cells)
                self._c0 = c_BH

    def step(self, rows: slice, size: int, weight: Any, multiply: Products) -> None:
        """One step of the `size` sentences that still run."""
        num_rows = min(
            multiply.overhang(size), len(self._before), len(self._gates) - rows.start
        )
        sums_NG = multiply.accumulate(
            self._gates[rows.start : rows.start + num_rows],
            self._before[:num_rows],
            weight,
        )[:size].float()
        into, forget, new, out = sums_NG.chunk(4, dim=1)
        c = self._c_BH[:size]
        if self._peephole is not None:
            into.addcmul_(self._peephole[0], c)
            forget.addcmul_(self._peephole[1], c)
        into.sigmoid_()
        new.tanh_()
        if self._keep:
            forget = torch.sigmoid(forget, out=self._forget_NH[rows])
            factors = self._factors_NG[rows].chunk(4, dim=1)
            _aten.sigmoid_backward.grad_input(new, into, grad_input=factors[0])
            _aten.sigmoid_backward.grad_input(c, forget, grad_input=factors[1])
            _aten.tanh_backward.grad_input(into, new, grad_input=factors[2])
        else:
            forget.sigmoid_()
        c.mul_(forget).addcmul_(into, new)
        if self._peephole is not None:
            out.addcmul_(self._peephole[2], c)
        out.sigmoid_()
        bent = torch.tanh(c)
        if self._keep:
            _aten.sigmoid_backward.grad_input(bent, out, grad_input=factors[3])
            _aten.tanh_backward.grad_input(out, bent, grad_input=self._carry_NH[rows])
            if self._peephole is not None:
                self._c_NH[rows] = c
        self._before = self._output_NH[rows]
        self._before.copy_(multiply.cast(out.mul_(bent)))

    def finish(self) -> tuple[Tensor, Tensor]:
        """Let go of the output [N, H] and of the cells after the last steps [B, H]."""
        output_NH, c_BH = self._output_NH, self._c_BH
        del self._output_NH, self._c_BH, self._before, self._gates
        return output_NH, c_BH

    def back(
        self,
        grad_NH: Tensor,
        grad_c_BH: Tensor,
        sizes: Sequence[int],
        weight: Any,
        peephole_3H: Tensor | None,
        multiply: Products,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Walk back; the first two arguments and the trace are used up.

        Returns:
            Gradients of the gates before their nonlinearity, float32 [N, 4 H], of h_BH
            and of c_BH.
        """
        delta_NG, cells = self._factors_NG, self._cells
        operand = delta_NG.new_empty(0)
        following = 0
        for rows, size in reversed(list(_steps(sizes))):
            grad_h = grad_NH[rows]
            if following:
                grad_h = self._join(grad_h, operand, following, weight, multiply)
            grad_h = grad_h.float()
            delta, c = delta_NG[rows], grad_c_BH[:size]
            delta[:, 3 * cells :].mul_(grad_h)
            if peephole_3H is not None:
                c.addcmul_(delta[:, 3 * cells :], peephole_3H[2])
            c.addcmul_(grad_h, self._carry_NH[rows])
            delta[:, : 3 * cells].view(size, 3, cells).mul_(c[:, None])
            c.mul_(self._forget_NH[rows])
            if peephole_3H is not None:
                c.addcmul_(delta[:, :cells], peephole_3H[0])
                c.addcmul_(delta[:, cells : 2 * cells], peephole_3H[1])
            reach = rows.start + multiply.overhang(size)
            operand = multiply.cast(delta_NG[rows.start : reach])
            following = size
        grad_h0 = multiply.apply(operand[:following], weight, None)
        return delta_NG, grad_h0, grad_c_BH

    @staticmethod
    def _join(
        grad_h: Tensor, operand: Tensor, following: int, weight: Any, multiply: Products
    ) -> Tensor:
        """Add what the next step's sentences send back to this step's gradient."""
        num_rows = min(len(operand), len(grad_h))
        sent = multiply.accumulate(grad_h[:num_rows], operand[:num_rows], weight)
        sent = sent[:following]
        if following == len(grad_h):
            return sent
        return torch.cat([sent, grad_h[following:]])

    def peephole_gradient(
        self, delta_NG: Tensor, sizes: Sequence[int]
    ) -> Tensor | None:
        """Gradient of the diagonal weights, [3, H]."""
        if self._peephole is None:
            return None
        earlier = [self._c_NH[rows][:n] for rows, n in _followed(sizes)]
        before_NH = torch.cat([self._c0, *earlier])
        into, forget, _, out = delta_NG.chunk(4, dim=1)
        return torch.stack(
            [
                (into * before_NH).sum(0),
                (forget * before_NH).sum(0),
                (out * self._c_NH).sum(0),
            ]
        )

"""Forward and backward pass of one LSTM layer, step by step: our own engine.

What makes it fast on a CPU:

- sentences are sorted longest first, so a step is a slice and nothing is padded;
- the products of the input are computed for all steps at once, before the loop;
- the forward pass saves not the gates but the factors of their gradients, so a step of
  the backward pass is four multiplications and one product;
- each weight's gradient is one product, after the loop.

Source: Graves 2013, "Generating Sequences With Recurrent Neural Networks", equations 7
to 11, which Sutskever et al. 2014 name in section 2; peepholes (diagonal weights from
the cell to the gates) are optional.

Shapes: N tokens, B sentences, n sentences that run at a step, I input size, H cells,
G gates (4 H), in torch's order: input, forget, new cell, output.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pipelines.model.engine.matmul import Matmul

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
        for rows, n in _continuing(sizes):
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
        before = [output_NH[rows][:n] for rows, n in _continuing(sizes)]
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
    steps: "_Steps"


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
    steps = _Steps(gates_NG, sizes, h0, c_BH.float(), peephole_3H, matmul, saves=saves)
    del gates_NG
    output_NH, last_c_BH = steps.forward(weight)
    ended = [output_NH[rows][n:] for rows, n in _continuing(sizes)]
    results = output_NH, torch.cat(ended[::-1]), last_c_BH
    return _ForwardPass(inputs, h0, results, steps)


class _Steps:
    """The time steps of a layer, and what the backward pass needs of them.

    Args:
        gates_NG: Products of the input, biases added; overwritten.
        sizes: Sentences that run at each step.
        h_BH: Initial output, as an operand.
        c_BH: Initial cells, float32.
        peephole_3H: Diagonal weights, or None.
        matmul: Computes the products.
        saves: Whether there will be a backward pass.
    """

    def __init__(
        self,
        gates_NG: Tensor,
        sizes: Sequence[int],
        h_BH: Tensor,
        c_BH: Tensor,
        peephole_3H: Tensor | None,
        matmul: Matmul,
        *,
        saves: bool,
    ) -> None:
        self._sizes, self._matmul = list(sizes), matmul
        self._gates_NG, self._peephole = gates_NG, peephole_3H
        self._h, self._cells = h_BH, h_BH.shape[1]
        self._c0, self._c_BH = c_BH, c_BH.clone()
        self._output_NH = self._new_rows(gates_NG.dtype)
        self._output = torch.split(self._output_NH, self._sizes)
        self._saves = saves
        if not saves:
            return
        # Gradients of the pre-activation gates are these times the gradient of the
        # cell (the first three) or of the output (the last).
        self._factors_NG = gates_NG.new_empty(len(gates_NG), 4 * self._cells).float()
        by_gate = self._factors_NG.chunk(4, dim=1)
        self._factors = list(
            zip(*(torch.split(gate, self._sizes) for gate in by_gate), strict=True)
        )
        self._carry = torch.split(self._new_rows(), self._sizes)
        self._forget = torch.split(self._new_rows(), self._sizes)
        if peephole_3H is not None:
            self._c_NH = self._new_rows()
            self._c = torch.split(self._c_NH, self._sizes)

    @property
    def has_peepholes(self) -> bool:
        """Whether there are diagonal weights."""
        return self._peephole is not None

    def forward(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Run all steps.

        Args:
            weight: Recurrent weights as `Matmul.prepare` returns them.

        Returns:
            The output [N, H], and the cells after each sentence's last step [B, H].
        """
        for number, rows in enumerate(_step_rows(self._sizes)):
            self._step(number, rows, weight)
        output_NH, c_BH = self._output_NH, self._c_BH
        del self._output_NH, self._output, self._c_BH, self._h, self._gates_NG
        return output_NH, c_BH

    def _new_rows(self, dtype: torch.dtype = torch.float32) -> Tensor:
        return self._gates_NG.new_empty(len(self._gates_NG), self._cells, dtype=dtype)

    def _step(self, number: int, rows: slice, weight: Tensor) -> None:
        size = rows.stop - rows.start
        num_rows = min(
            self._matmul.padded_rows(size),
            len(self._h),
            len(self._gates_NG) - rows.start,
        )
        sums_NG = self._matmul.accumulate(
            self._gates_NG[rows.start : rows.start + num_rows],
            self._h[:num_rows],
            weight,
        )
        into, forget, new, out = sums_NG[:size].float().chunk(4, dim=1)
        c = self._c_BH[:size]
        if self._peephole is not None:
            into.addcmul_(self._peephole[0], c)
            forget.addcmul_(self._peephole[1], c)
        into.sigmoid_()
        new.tanh_()
        if self._saves:
            forget = torch.sigmoid(forget, out=self._forget[number])
            factors = self._factors[number]
            _aten.sigmoid_backward.grad_input(new, into, grad_input=factors[0])
            _aten.sigmoid_backward.grad_input(c, forget, grad_input=factors[1])
            _aten.tanh_backward.grad_input(into, new, grad_input=factors[2])
        else:
            forget.sigmoid_()
        c.mul_(forget).addcmul_(into, new)
        if self._peephole is not None:
            out.addcmul_(self._peephole[2], c)
        out.sigmoid_()
        tanh_c = torch.tanh(c)
        if self._saves:
            _aten.sigmoid_backward.grad_input(tanh_c, out, grad_input=factors[3])
            _aten.tanh_backward.grad_input(out, tanh_c, grad_input=self._carry[number])
            if self._peephole is not None:
                self._c[number].copy_(c)
        self._h = self._output[number]
        self._h.copy_(self._matmul.cast(out.mul_(tanh_c)))

    def backward(
        self, grad_NH: Tensor, grad_c_BH: Tensor, weight: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Run all steps backward; may be called once.

        Args:
            grad_NH: Gradient of the output, as an operand; overwritten.
            grad_c_BH: Gradient of the last cells, float32; overwritten.
            weight: Transposed recurrent weights as `Matmul.prepare` returns them.

        Returns:
            Gradients of the pre-activation gates, float32 [N, 4 H], of h_BH and of
            c_BH.
        """
        matmul, peephole_3H = self._matmul, self._peephole
        delta_NG, cells = self._factors_NG, self._cells
        grads, steps = torch.split(grad_NH, self._sizes), list(_step_rows(self._sizes))
        operand = delta_NG
        following = 0
        for number in reversed(range(len(steps))):
            grad_h, size = grads[number], self._sizes[number]
            if following:
                grad_h = self._add_following(grad_h, operand, following, weight)
            grad_h = grad_h.float()
            delta, c = delta_NG[steps[number]], grad_c_BH[:size]
            into, forget, _, out = self._factors[number]
            out.mul_(grad_h)
            if peephole_3H is not None:
                c.addcmul_(out, peephole_3H[2])
            c.addcmul_(grad_h, self._carry[number])
            delta[:, : 3 * cells].view(size, 3, cells).mul_(c[:, None])
            c.mul_(self._forget[number])
            if peephole_3H is not None:
                c.addcmul_(into, peephole_3H[0])
                c.addcmul_(forget, peephole_3H[1])
            start = steps[number].start
            operand = matmul.cast(delta_NG[start : start + matmul.padded_rows(size)])
            following = size
        grad_h0 = matmul.apply(operand[:following], weight, None)
        return delta_NG, grad_h0, grad_c_BH

    def _add_following(
        self, grad_h: Tensor, operand: Tensor, following: int, weight: Tensor
    ) -> Tensor:
        """Add the next step's gradient to that of its sentences at this step."""
        num_rows = min(len(operand), len(grad_h))
        total = self._matmul.accumulate(grad_h[:num_rows], operand[:num_rows], weight)
        total = total[:following]
        if following == len(grad_h):
            return total
        return torch.cat([total, grad_h[following:]])

    def peephole_gradient(self, delta_NG: Tensor) -> Tensor:
        """Gradient of the diagonal weights, [3, H]."""
        earlier = [c[:n] for c, n in zip(self._c, self._sizes[1:], strict=False)]
        before_NH = torch.cat([self._c0, *earlier])
        into, forget, _, out = delta_NG.chunk(4, dim=1)
        return torch.stack(
            [
                (into * before_NH).sum(0),
                (forget * before_NH).sum(0),
                (out * self._c_NH).sum(0),
            ]
        )


def _step_rows(sizes: Sequence[int]) -> Iterator[slice]:
    """Rows of each step."""
    start = 0
    for size in sizes:
        yield slice(start, start + size)
        start += size


def _continuing(sizes: Sequence[int]) -> Iterator[tuple[slice, int]]:
    """Rows of each step, with the number of sentences that continue after it."""
    return zip(_step_rows(sizes), [*sizes[1:], 0], strict=True)

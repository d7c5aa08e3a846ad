"""The time steps of one LSTM layer, forward and backward.

Source: Graves 2013, "Generating Sequences With Recurrent Neural Networks", equations 7
to 11.

Gates: i input gate, f forget gate, g new cell input, o output gate, in torch's order.
Shapes: N tokens, B sentences, n sentences that run at a step, H cells, G gates (4 H).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from pipelines.model.engine.matmul import Matmul

_aten = torch.ops.aten


def step_rows(sizes: Sequence[int]) -> Iterator[slice]:
    """Rows of each step."""
    start = 0
    for size in sizes:
        yield slice(start, start + size)
        start += size


def continuing_rows(sizes: Sequence[int]) -> Iterator[tuple[slice, int]]:
    """Rows of each step, with the number of sentences that continue after it."""
    return zip(step_rows(sizes), [*sizes[1:], 0], strict=True)


def previous_values(
    values_NH: Tensor, initial_BH: Tensor, sizes: Sequence[int]
) -> Tensor:
    """The value of each token's sentence one step earlier, [N, H]."""
    continuing = [values_NH[rows][:n] for rows, n in continuing_rows(sizes)]
    return torch.cat([initial_BH, *continuing])


class _SavedStep(NamedTuple):
    """Rows of `SavedFactors` that belong to one step, the gates apart."""

    i: Tensor
    f: Tensor
    g: Tensor
    o: Tensor
    dh_dc: Tensor
    dc_dc: Tensor
    c: Tensor | None = None


@dataclass(frozen=True, slots=True)
class SavedFactors:
    """What the forward pass saves for the backward pass; all float32.

    Not the gates but the factors of their gradients, so that a step of the backward
    pass is a few multiplications and one recurrent matmul.
    """

    factors_NG: Tensor
    """[N, 4 H]: dc/da of the gates i, f and g, dh/da of o, where a is the gate's
    pre-activation. The backward pass overwrites them with the gradients of a."""
    dh_dc_NH: Tensor
    """[N, H]: o_t * (1 - tanh(c_t)^2)."""
    dc_dc_NH: Tensor
    """[N, H]: derivative of c_t with respect to c_(t-1), the forget gate f_t."""
    c0_BH: Tensor
    """[B, H]: initial cells."""
    c_NH: Tensor | None
    """[N, H]: cells c_t, for the gradient of the peepholes; None without them."""

    @classmethod
    def allocate(
        cls, num_tokens: int, c0_BH: Tensor, *, peepholes: bool
    ) -> "SavedFactors":
        """Reserve memory for a forward pass."""
        cells = c0_BH.shape[1]
        return cls(
            c0_BH.new_empty(num_tokens, 4 * cells),
            c0_BH.new_empty(num_tokens, cells),
            c0_BH.new_empty(num_tokens, cells),
            c0_BH,
            c0_BH.new_empty(num_tokens, cells) if peepholes else None,
        )

    def by_step(self, sizes: list[int]) -> list[_SavedStep]:
        """Views of the rows of each step."""
        columns = [*self.factors_NG.chunk(4, dim=1), self.dh_dc_NH, self.dc_dc_NH]
        if self.c_NH is not None:
            columns.append(self.c_NH)
        return [
            _SavedStep(*rows)
            for rows in zip(*(torch.split(c, sizes) for c in columns), strict=True)
        ]


class LSTMSteps:
    """The time steps of a layer.

    Args:
        sizes: Sentences that run at each step.
        peephole_3H: Diagonal weights of the gates i, f and o, or None.
        matmul: Computes the recurrent matmuls.
    """

    def __init__(
        self, sizes: Sequence[int], peephole_3H: Tensor | None, matmul: Matmul
    ) -> None:
        self.sizes, self.matmul = list(sizes), matmul
        self._peephole = peephole_3H

    def forward(
        self,
        gates_NG: Tensor,
        h0_BH: Tensor,
        c0_BH: Tensor,
        weight: Tensor,
        saved: SavedFactors | None,
    ) -> tuple[Tensor, Tensor]:
        """Run all steps.

        Args:
            gates_NG: Input projections W x + b; overwritten.
            h0_BH: Initial hidden state, as an operand.
            c0_BH: Initial cells, float32.
            weight: Recurrent weights as `Matmul.prepare` returns them.
            saved: Filled for the backward pass; None if there will be none.

        Returns:
            The output [N, H], and the cells after each sentence's last step [B, H].
        """
        output_NH = gates_NG.new_empty(len(gates_NG), h0_BH.shape[1])
        h_nH, c_BH = h0_BH, c0_BH.clone()
        saved_steps: Sequence[_SavedStep | None] = [None] * len(self.sizes)
        if saved is not None:
            saved_steps = saved.by_step(self.sizes)
        for rows, saved_step in zip(step_rows(self.sizes), saved_steps, strict=True):
            gates_nG = self._add_recurrent(gates_NG, rows, h_nH, weight)
            new_h_nH = self._step(gates_nG, c_BH[: len(gates_nG)], saved_step)
            h_nH = output_NH[rows]
            h_nH.copy_(self.matmul.cast(new_h_nH))
        return output_NH, c_BH

    def _add_recurrent(
        self, gates_NG: Tensor, rows: slice, h_nH: Tensor, weight: Tensor
    ) -> Tensor:
        """W x_t + b + R h_(t-1) of a step, [n, G]."""
        size = rows.stop - rows.start
        num_rows = min(
            self.matmul.padded_rows(size), len(h_nH), len(gates_NG) - rows.start
        )
        sums = self.matmul.accumulate(
            gates_NG[rows.start : rows.start + num_rows], h_nH[:num_rows], weight
        )
        return sums[:size]

    # W, R, b, p: weights of the input, recurrent weights, biases, peepholes.
    #
    #   i_t = sigmoid(W_i x_t + R_i h_(t-1) + p_i * c_(t-1) + b_i)     equation 7
    #   f_t = sigmoid(W_f x_t + R_f h_(t-1) + p_f * c_(t-1) + b_f)              8
    #   g_t = tanh(W_g x_t + R_g h_(t-1) + b_g)
    #   c_t = f_t * c_(t-1) + i_t * g_t                                         9
    #   o_t = sigmoid(W_o x_t + R_o h_(t-1) + p_o * c_t + b_o)                 10
    #   h_t = o_t * tanh(c_t)                                                  11
    def _step(self, gates_nG: Tensor, c_nH: Tensor, saved: _SavedStep | None) -> Tensor:
        """Compute h_t, float32 [n, H], from W x_t + b + R h_(t-1); updates `c_nH`."""
        i, f, g, o = gates_nG.float().chunk(4, dim=1)
        if self._peephole is not None:
            i.addcmul_(self._peephole[0], c_nH)
            f.addcmul_(self._peephole[1], c_nH)
        i.sigmoid_()
        g.tanh_()
        if saved is None:
            f.sigmoid_()
        else:
            f = torch.sigmoid(f, out=saved.dc_dc)
            _aten.sigmoid_backward.grad_input(g, i, grad_input=saved.i)
            _aten.sigmoid_backward.grad_input(c_nH, f, grad_input=saved.f)
            _aten.tanh_backward.grad_input(i, g, grad_input=saved.g)
        c_nH.mul_(f).addcmul_(i, g)
        if self._peephole is not None:
            o.addcmul_(self._peephole[2], c_nH)
        o.sigmoid_()
        tanh_c = torch.tanh(c_nH)
        if saved is not None:
            _aten.sigmoid_backward.grad_input(tanh_c, o, grad_input=saved.o)
            _aten.tanh_backward.grad_input(o, tanh_c, grad_input=saved.dh_dc)
            if saved.c is not None:
                saved.c.copy_(c_nH)
        return o.mul_(tanh_c)

    def backward(
        self,
        saved: SavedFactors,
        grad_NH: Tensor,
        grad_c_BH: Tensor,
        weight: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Run all steps backward; uses up `saved`.

        Args:
            saved: Filled by the forward pass.
            grad_NH: Gradient of the output, as an operand; overwritten.
            grad_c_BH: Gradient of the last cells, float32; overwritten.
            weight: Transposed recurrent weights as `Matmul.prepare` returns them.

        Returns:
            Gradients of the pre-activations, float32 [N, 4 H], of the initial hidden
            state and of the initial cells.
        """
        grad_a_NG = saved.factors_NG
        steps = zip(
            step_rows(self.sizes),
            torch.split(grad_NH, self.sizes),
            saved.by_step(self.sizes),
            strict=True,
        )
        next_grad_a, next_size = grad_a_NG, 0
        for rows, grad_h, saved_step in reversed(list(steps)):
            if next_size:
                grad_h = self._add_next_step(grad_h, next_grad_a, next_size, weight)
            next_size = rows.stop - rows.start
            self._step_backward(
                grad_h.float(), grad_c_BH[:next_size], grad_a_NG[rows], saved_step
            )
            end = rows.start + self.matmul.padded_rows(next_size)
            next_grad_a = self.matmul.cast(grad_a_NG[rows.start : end])
        grad_h0_BH = self.matmul.linear(next_grad_a[:next_size], weight, None)
        return grad_a_NG, grad_h0_BH, grad_c_BH

    def _add_next_step(
        self, grad_h: Tensor, next_grad_a: Tensor, next_size: int, weight: Tensor
    ) -> Tensor:
        """Add R^T da_(t+1) to the gradient of h_t, for sentences that continue."""
        num_rows = min(len(next_grad_a), len(grad_h))
        sums = self.matmul.accumulate(
            grad_h[:num_rows], next_grad_a[:num_rows], weight
        )[:next_size]
        if next_size == len(grad_h):
            return sums
        return torch.cat([sums, grad_h[next_size:]])

    # dx is the loss's gradient of x, a a gate's pre-activation; factors in brackets are
    # saved. dc_t starts as the gradient that step t + 1 passes on.
    #
    #   dh_t     = output's gradient + R^T da_(t+1)
    #   da_o     = dh_t [tanh(c_t) * o_t * (1 - o_t)]
    #   dc_t    += p_o * da_o + dh_t [o_t * (1 - tanh(c_t)^2)]
    #   da_i     = dc_t [g_t * i_t * (1 - i_t)]
    #   da_f     = dc_t [c_(t-1) * f_t * (1 - f_t)]
    #   da_g     = dc_t [i_t * (1 - g_t^2)]
    #   dc_(t-1) = dc_t [f_t] + p_i * da_i + p_f * da_f
    def _step_backward(
        self, dh_nH: Tensor, dc_nH: Tensor, da_nG: Tensor, saved: _SavedStep
    ) -> None:
        """Turn the factors `da_nG` into gradients, and dc_t into dc_(t-1)."""
        num_rows, cells = dc_nH.shape
        da_o = saved.o.mul_(dh_nH)
        if self._peephole is not None:
            dc_nH.addcmul_(da_o, self._peephole[2])
        dc_nH.addcmul_(dh_nH, saved.dh_dc)
        da_nG[:, : 3 * cells].view(num_rows, 3, cells).mul_(dc_nH[:, None])
        dc_nH.mul_(saved.dc_dc)
        if self._peephole is not None:
            dc_nH.addcmul_(saved.i, self._peephole[0])
            dc_nH.addcmul_(saved.f, self._peephole[1])

    def peephole_gradient(self, saved: SavedFactors) -> Tensor | None:
        """Gradient of the peepholes, [3, H], after `backward`; None without them."""
        if saved.c_NH is None:
            return None
        previous_c_NH = previous_values(saved.c_NH, saved.c0_BH, self.sizes)
        da_i, da_f, _, da_o = saved.factors_NG.chunk(4, dim=1)
        return torch.stack(
            [
                (da_i * previous_c_NH).sum(0),
                (da_f * previous_c_NH).sum(0),
                (da_o * saved.c_NH).sum(0),
            ]
        )

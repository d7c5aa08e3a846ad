"""The time steps of one LSTM layer, forward and backward.

The forward pass saves not the gates but the factors of their gradients, so a step of
the backward pass is four multiplications and one product.

Source: Graves 2013, "Generating Sequences With Recurrent Neural Networks", equations 7
to 11.

Shapes: N tokens, B sentences, n sentences that run at a step, H cells, G gates (4 H),
in torch's order: input, forget, new cell, output.
"""

from collections.abc import Iterator, Sequence

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


class LSTMSteps:
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
        for number, rows in enumerate(step_rows(self._sizes)):
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
        grads, steps = torch.split(grad_NH, self._sizes), list(step_rows(self._sizes))
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

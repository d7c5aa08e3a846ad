"""What a layer does at each step, and what it leaves behind for the way back.

Shapes: N tokens, B sentences, n sentences that run at a step, H cells, G gates (4 H).
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from pipelines.model.products import Products

_aten = torch.ops.aten


def steps_of(sizes: Sequence[int]) -> Iterator[slice]:
    """The rows of each step."""
    start = 0
    for size in sizes:
        yield slice(start, start + size)
        start += size


def followed(sizes: Sequence[int]) -> Iterator[tuple[slice, int]]:
    """The rows of each step, with the number of sentences that run on after it."""
    return zip(steps_of(sizes), [*sizes[1:], 0], strict=True)


class Trace:
    """A layer's run, step by step, and what the way back needs of it.

    Args:
        gates_NG: Products of the input, biases added.
        sizes: Sentences that run at each step.
        h_BH: Where the run starts, in the products' precision.
        c_BH: The same, float32.
        peephole_3H: Diagonal weights, or None.
        keep: Whether there will be a way back.
    """

    def __init__(
        self,
        gates_NG: Tensor,
        sizes: Sequence[int],
        h_BH: Tensor,
        c_BH: Tensor,
        peephole_3H: Tensor | None,
        *,
        keep: bool,
    ) -> None:
        steps = list(sizes)
        self._gates_NG, self._peephole = gates_NG, peephole_3H
        self._before, self._cells = h_BH, h_BH.shape[1]
        self._c0, self._c_BH = c_BH, c_BH.clone()
        self._output_NH = self._rows(gates_NG.dtype)
        self._output = torch.split(self._output_NH, steps)
        self._keep = keep
        if not keep:
            return
        # Gradients of the gates are these times the gradient of the cell (the first
        # three) or of the output (the last).
        self._factors_NG = gates_NG.new_empty(len(gates_NG), 4 * self._cells).float()
        by_gate = self._factors_NG.chunk(4, dim=1)
        self._factors = list(
            zip(*(torch.split(gate, steps) for gate in by_gate), strict=True)
        )
        self._carry = torch.split(self._rows(), steps)
        self._forget = torch.split(self._rows(), steps)
        if peephole_3H is not None:
            self._c_NH = self._rows()
            self._c = torch.split(self._c_NH, steps)

    def _rows(self, dtype: torch.dtype = torch.float32) -> Tensor:
        return self._gates_NG.new_empty(len(self._gates_NG), self._cells, dtype=dtype)

    def step(self, number: int, rows: slice, weight: Any, multiply: Products) -> None:
        """Step `number` of the sentences that still run; their gates are `rows`."""
        size = rows.stop - rows.start
        num_rows = min(
            multiply.overhang(size), len(self._before), len(self._gates_NG) - rows.start
        )
        sums_NG = multiply.accumulate(
            self._gates_NG[rows.start : rows.start + num_rows],
            self._before[:num_rows],
            weight,
        )
        into, forget, new, out = sums_NG[:size].float().chunk(4, dim=1)
        c = self._c_BH[:size]
        if self._peephole is not None:
            into.addcmul_(self._peephole[0], c)
            forget.addcmul_(self._peephole[1], c)
        into.sigmoid_()
        new.tanh_()
        if self._keep:
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
        bent = torch.tanh(c)
        if self._keep:
            _aten.sigmoid_backward.grad_input(bent, out, grad_input=factors[3])
            _aten.tanh_backward.grad_input(out, bent, grad_input=self._carry[number])
            if self._peephole is not None:
                self._c[number].copy_(c)
        self._before = self._output[number]
        self._before.copy_(multiply.cast(out.mul_(bent)))

    def finish(self) -> tuple[Tensor, Tensor]:
        """Let go of the output [N, H] and of the cells after the last steps [B, H]."""
        output_NH, c_BH = self._output_NH, self._c_BH
        del self._output_NH, self._output, self._c_BH, self._before, self._gates_NG
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
        grads, steps = torch.split(grad_NH, list(sizes)), list(steps_of(sizes))
        operand = delta_NG
        following = 0
        for number in reversed(range(len(sizes))):
            grad_h, size = grads[number], sizes[number]
            if following:
                grad_h = self._join(grad_h, operand, following, weight, multiply)
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
            operand = multiply.cast(delta_NG[start : start + multiply.overhang(size)])
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
        earlier = [c[:n] for c, n in zip(self._c, sizes[1:], strict=False)]
        before_NH = torch.cat([self._c0, *earlier])
        into, forget, _, out = delta_NG.chunk(4, dim=1)
        return torch.stack(
            [
                (into * before_NH).sum(0),
                (forget * before_NH).sum(0),
                (out * self._c_NH).sum(0),
            ]
        )

"""A linear layer without bias, computed by the engine's matmuls.

Shapes: N rows, I inputs, J outputs.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pipelines.model.engine.matmul import Matmul


def linear(input_NI: Tensor, weight_JI: Tensor, matmul: Matmul) -> Tensor:
    """Input @ weight.T, [N, J], in the precision of the matmuls."""
    output_NJ: Tensor = _Linear.apply(input_NI, weight_JI, matmul)  # type: ignore[no-untyped-call] # torch's
    return output_NJ


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, input_NI: Tensor, weight_JI: Tensor, matmul: Matmul
    ) -> Tensor:
        operand = matmul.cast(input_NI)
        ctx.save_for_backward(operand, weight_JI)
        ctx.matmul, ctx.input_dtype = matmul, input_NI.dtype
        return matmul.linear(operand, matmul.prepare(weight_JI, 1), None)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_NJ: Tensor) -> tuple[Tensor | None, ...]:
        operand, weight_JI = ctx.saved_tensors
        matmul = ctx.matmul
        grad_NJ = matmul.cast(grad_NJ)
        transposed = matmul.prepare(weight_JI.T, 1)
        grad_input = matmul.linear(grad_NJ, transposed, None).to(ctx.input_dtype)
        return grad_input, matmul.weight_gradient(grad_NJ, operand), None

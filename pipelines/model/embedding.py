"""Word embeddings with a sparse gradient.

A batch has a few thousand of 160,000 words. The gradient is a sparse tensor with one
row for each word that occurs, so neither memory nor the update grows with the
vocabulary.

Shapes: N tokens, U different tokens, V vocabulary, E embedding size.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from pipelines.data.batch import PackedSequences


def embed(weight_VE: Tensor, sequences: PackedSequences) -> Tensor:
    """Embed the tokens, [N, E]; the gradient of `weight_VE` is sparse."""
    embedded_NE: Tensor = _Embed.apply(  # type: ignore[no-untyped-call] # torch's
        weight_VE, sequences.unique_U, sequences.inverse_N
    )
    return embedded_NE


def empty_embedding(vocab_size: int, size: int) -> nn.Embedding:
    """Build an embedding with uninitialized weights.

    torch's own initialization loads its whole compiler where a checkpoint is read (1.5
    seconds), and would be overwritten in any case.
    """
    return nn.Embedding(vocab_size, size, _weight=torch.empty(vocab_size, size))


class _Embed(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, weight_VE: Tensor, types_U: Tensor, places_N: Tensor
    ) -> Tensor:
        ctx.save_for_backward(types_U, places_N)
        ctx.shape = weight_VE.shape
        return weight_VE.index_select(0, types_U).index_select(0, places_N)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_NE: Tensor) -> tuple[Tensor | None, ...]:
        types_U, places_N = ctx.saved_tensors
        rows_UE = grad_NE.new_zeros(len(types_U), grad_NE.shape[1])
        rows_UE.index_add_(0, places_N, grad_NE)
        # Indices are unique and sorted, so there is nothing to coalesce. This context
        # does what `check_invariants=False` does, without torch 2.11's warning.
        unchecked = torch.sparse.check_sparse_tensor_invariants(enable=False)  # type: ignore[no-untyped-call] # torch's
        with unchecked:
            gradient = torch.sparse_coo_tensor(
                types_U[None], rows_UE, ctx.shape, is_coalesced=True
            )
        return gradient, None, None

"""Softmax and cross-entropy that never hold the logits of a whole batch.

Rows are taken in chunks; the gradient of each chunk is made in the forward pass, while
its logits are there, so that an 80,000-word softmax needs a chunk's memory and no
second product for the logits.

Shapes: N rows (target tokens), O features, V target vocabulary.
"""

from typing import Any

import torch
from torch import Tensor

CHUNK_LOGITS = 1 << 23
"""Most logits in memory at a time: 32 MiB in float32."""


def summed_cross_entropy(
    features_NO: Tensor,
    targets_N: Tensor,
    weight_VO: Tensor,
    bias_V: Tensor | None,
    *,
    label_smoothing: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Cross-entropy of a linear layer's softmax, summed over rows.

    Args:
        features_NO: Float [N, O].
        targets_N: int64 [N].
        weight_VO: Of the softmax layer.
        bias_V: Of the softmax layer, or None.
        label_smoothing: Probability mass spread evenly over the vocabulary.

    Returns:
        The loss to be differentiated, and the negative log-likelihood of the targets
        without smoothing (no gradient); float32 scalars in nats.
    """
    loss, nll = _ChunkedCrossEntropy.apply(  # type: ignore[no-untyped-call] # torch's
        features_NO, targets_N, weight_VO, bias_V, label_smoothing
    )
    return loss, nll


class _ChunkedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        features_NO: Tensor,
        targets_N: Tensor,
        weight_VO: Tensor,
        bias_V: Tensor | None,
        smoothing: float,
    ) -> tuple[Tensor, Tensor]:
        differentiate = any(ctx.needs_input_grad)
        device = features_NO.device.type
        dtype = features_NO.dtype
        if torch.is_autocast_enabled(device):
            dtype = torch.get_autocast_dtype(device)
        num_rows, num_types = len(targets_N), len(weight_VO)
        weight = weight_VO.to(dtype)
        grad_features = torch.empty_like(features_NO) if differentiate else None
        grad_weight = torch.zeros_like(weight_VO) if differentiate else None
        grad_bias = torch.zeros_like(weight_VO[:, 0]) if differentiate else None
        loss = torch.zeros((), device=features_NO.device)
        nll = torch.zeros((), device=features_NO.device)
        chunk = max(1, CHUNK_LOGITS // num_types)
        with torch.autocast(device, enabled=False):
            for start in range(0, num_rows, chunk):
                rows = slice(start, start + chunk)
                features = features_NO[rows].to(dtype)
                logits_NV = (features @ weight.T).float()
                if bias_V is not None:
                    logits_NV += bias_V
                normalizer_N1 = logits_NV.logsumexp(1, keepdim=True)
                target_N1 = targets_N[rows, None]
                chunk_nll = (normalizer_N1 - logits_NV.gather(1, target_N1)).sum()
                nll += chunk_nll
                if smoothing:
                    uniform = (normalizer_N1 - logits_NV.mean(1, keepdim=True)).sum()
                    loss += (1 - smoothing) * chunk_nll + smoothing * uniform
                else:
                    loss += chunk_nll
                if grad_features is None or grad_weight is None or grad_bias is None:
                    continue
                delta_NV = logits_NV.sub_(normalizer_N1).exp_()
                if smoothing:
                    delta_NV -= smoothing / num_types
                correct = delta_NV.new_full(target_N1.shape, smoothing - 1.0)
                delta_NV.scatter_add_(1, target_N1, correct)
                grad_bias += delta_NV.sum(0)
                delta = delta_NV.to(dtype)
                grad_features[rows] = (delta @ weight).to(grad_features.dtype)
                if dtype == grad_weight.dtype:
                    grad_weight.addmm_(delta.T, features)
                else:
                    grad_weight += delta.T @ features
        if bias_V is None:
            grad_bias = None
        ctx.save_for_backward(grad_features, grad_weight, grad_bias)
        ctx.mark_non_differentiable(nll)
        return loss, nll

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        grad_features, grad_weight, grad_bias = ctx.saved_tensors
        scale = grads[0]
        return (
            grad_features * scale,
            None,
            grad_weight * scale,
            None if grad_bias is None else grad_bias * scale,
            None,
        )

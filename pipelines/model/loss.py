"""Softmax and cross-entropy that never hold the logits of a whole batch.

Rows are taken in chunks; the gradient of each chunk is made in the forward pass, while
its logits are there, so that an 80,000-word softmax needs a chunk's memory and no
second product for the logits. Label smoothing costs no pass over the logits: its part
of the gradient is the same for every word.

Shapes: N rows (target tokens), n rows of a chunk, O features, V target vocabulary.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pipelines.model.products import Products, products

CPU_CHUNK_ROWS = 1024
"""Enough to keep the products busy; 328 MB of float32 logits for 80,000 words."""
GPU_CHUNK_LOGITS = 1 << 28
"""512 MiB in bfloat16; every chunk reads and writes the weights' gradient once."""


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
        device = features_NO.device
        multiply = products(device)
        with torch.autocast(device.type, enabled=False):
            softmax = _Softmax(features_NO, weight_VO, bias_V, smoothing, multiply)
            if any(ctx.needs_input_grad):
                softmax.open_gradients()
            for rows in chunks(len(targets_N), len(weight_VO), device):
                softmax.take(rows, targets_N[rows])
            loss = softmax.smoothed() if smoothing else softmax.nll.clone()
        ctx.save_for_backward(*softmax.gradients)
        ctx.mark_non_differentiable(softmax.nll)
        return loss, softmax.nll

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        features, weight, bias = (
            gradient if gradient is None else gradient.mul_(grad)
            for gradient in ctx.saved_tensors
        )
        return features, None, weight, bias, None


def chunks(num_rows: int, num_types: int, device: torch.device) -> list[slice]:
    """The rows that are taken together, all chunks about as large."""
    most = CPU_CHUNK_ROWS
    if device.type != "cpu":
        most = max(1, GPU_CHUNK_LOGITS // num_types)
    number = max(1, -(-num_rows // most))
    size = max(1, -(-num_rows // number))
    return [slice(start, start + size) for start in range(0, num_rows, size)]


class _Softmax:
    """A softmax layer that takes rows chunk by chunk and sums up loss and gradients."""

    def __init__(
        self,
        features_NO: Tensor,
        weight_VO: Tensor,
        bias_V: Tensor | None,
        smoothing: float,
        multiply: Products,
    ) -> None:
        self._smoothing = smoothing
        self._features, self._bias = features_NO, bias_V
        self._weight, self._multiply = weight_VO, multiply
        self._operand_VO = multiply.cast(weight_VO)
        self.nll = features_NO.new_zeros((), dtype=torch.float32)
        self._normalizers = features_NO.new_zeros((), dtype=torch.float32)
        self.gradients: list[Tensor | None] = [None, None, None]

    def open_gradients(self) -> None:
        """Sum up gradients, too: of features, weights and bias."""
        self.gradients = [
            torch.empty_like(self._features),
            torch.zeros_like(self._weight),
            None if self._bias is None else torch.zeros_like(self._bias),
        ]

    def take(self, rows: slice, targets_n: Tensor) -> None:
        """Take in some rows."""
        features_nO = self._multiply.cast(self._features[rows])
        logits_nV = self._multiply.apply(features_nO, self._operand_VO, self._bias)
        target_n1 = targets_n[:, None]
        target_logits_n1 = logits_nV.gather(1, target_n1).float()
        highest_n1 = logits_nV.amax(1, keepdim=True).float()
        # On a CPU written over the logits: new memory costs more there than the work.
        # A row's highest probability is never tiny, so that it gives the normalizer
        # without a pass of its own.
        place = logits_nV if logits_nV.device.type == "cpu" else None
        chances_nV = torch.softmax(logits_nV, 1, out=place)
        normalizer_n1 = highest_n1 - chances_nV.amax(1, keepdim=True).float().log()
        self.nll += (normalizer_n1 - target_logits_n1).sum()
        self._normalizers += normalizer_n1.sum()
        grad_features, grad_weight, grad_bias = self.gradients
        if grad_features is None or grad_weight is None:
            return
        target = chances_nV.new_full(target_n1.shape, self._smoothing - 1.0)
        delta_nV = self._multiply.cast(chances_nV.scatter_add_(1, target_n1, target))
        grad_features[rows] = delta_nV @ self._operand_VO
        if delta_nV.dtype == grad_weight.dtype:
            grad_weight.addmm_(delta_nV.T, features_nO)
        else:
            grad_weight += delta_nV.T @ features_nO
        if grad_bias is not None:
            grad_bias += delta_nV.sum(0, dtype=grad_bias.dtype)

    def smoothed(self) -> Tensor:
        """The loss after the last row, with the gradients of the mass spread evenly.

        That mass lowers the gradient of every logit by the same amount: for features
        and weights this is one row each, the sum of the weights and of the features.
        """
        share = self._smoothing
        num_rows, num_types = len(self._features), len(self._operand_VO)
        mean_O = self._operand_VO.float().mean(0)
        sum_O = self._features.float().sum(0)
        logits = sum_O @ mean_O
        if self._bias is not None:
            logits = logits + num_rows * self._bias.mean()
        grad_features, grad_weight, grad_bias = self.gradients
        if grad_features is not None and grad_weight is not None:
            grad_features -= (share * mean_O).to(grad_features.dtype)
            grad_weight -= (share / num_types) * sum_O
        if grad_bias is not None:
            grad_bias -= share * num_rows / num_types
        return (1 - share) * self.nll + share * (self._normalizers - logits)

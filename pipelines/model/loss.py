"""Softmax and cross-entropy that never hold the logits of a whole batch.

Rows are taken in chunks; the gradient of each chunk is computed in the forward pass,
while its logits are there, so an 80,000-word softmax needs a chunk's memory and no
second product for the logits. Label smoothing costs no pass over the logits: its part
of the gradient is the same for every word.

Logits and their gradient are in the precision of the products. Everything between is
float32, a block of rows at a time that fits the cache: in bfloat16 a probability near 1
would have no digits left to say how far from 1 it is.

Shapes: N rows (target tokens), n rows of a chunk, b rows of a block, O features, V
target vocabulary.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pipelines.model.engine.matmul import Matmul

CPU_CHUNK_ROWS = 1024
"""Enough to keep the products busy; 328 MB of float32 logits for 80,000 words."""
GPU_CHUNK_LOGITS = 1 << 28
"""512 MiB in bfloat16; every chunk reads and writes the weights' gradient once."""
CPU_BLOCK_LOGITS, GPU_BLOCK_LOGITS = 1 << 18, 1 << 26
"""Logits that are float32 at one time: 1 MiB, a second cache; 256 MiB."""


def summed_cross_entropy(
    features_NO: Tensor,
    targets_N: Tensor,
    weight_VO: Tensor,
    bias_V: Tensor | None,
    matmul: Matmul,
    *,
    label_smoothing: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Cross-entropy of a linear layer's softmax, summed over rows.

    Args:
        features_NO: Float [N, O].
        targets_N: int64 [N].
        weight_VO: Weights of the softmax layer.
        bias_V: Bias of the softmax layer, or None.
        matmul: Computes the products.
        label_smoothing: Probability mass spread evenly over the vocabulary.

    Returns:
        The loss to be differentiated, and the negative log-likelihood of the targets
        without smoothing (no gradient); float32 scalars in nats.
    """
    given = [features_NO, weight_VO, *([] if bias_V is None else [bias_V])]
    # Asked here: inside a Function `needs_input_grad` is true even under no_grad.
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in given):
        loss, nll = _ChunkedCrossEntropy.apply(  # type: ignore[no-untyped-call] # torch's
            features_NO, targets_N, weight_VO, bias_V, label_smoothing, matmul
        )
        return loss, nll
    softmax = _Softmax(features_NO, weight_VO, bias_V, label_smoothing, matmul)
    return softmax.run(targets_N)


class _ChunkedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        features_NO: Tensor,
        targets_N: Tensor,
        weight_VO: Tensor,
        bias_V: Tensor | None,
        smoothing: float,
        matmul: Matmul,
    ) -> tuple[Tensor, Tensor]:
        softmax = _Softmax(features_NO, weight_VO, bias_V, smoothing, matmul)
        softmax.allocate_gradients()
        loss, nll = softmax.run(targets_N)
        ctx.save_for_backward(*softmax.gradients)
        ctx.mark_non_differentiable(nll)
        return loss, nll

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        features, weight, bias = (
            gradient if gradient is None else gradient.mul_(grad)
            for gradient in ctx.saved_tensors
        )
        return features, None, weight, bias, None, None


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
        matmul: Matmul,
    ) -> None:
        self._smoothing = smoothing
        self._features, self._bias = features_NO, bias_V
        self._weight, self._matmul = weight_VO, matmul
        self._operand_VO = matmul.cast(weight_VO)
        self._nll = features_NO.new_zeros((), dtype=torch.float32)
        self._normalizers = features_NO.new_zeros((), dtype=torch.float32)
        self.gradients: list[Tensor | None] = [None, None, None]

    def allocate_gradients(self) -> None:
        """Compute gradients, too: of features, weights and bias."""
        self.gradients = [
            torch.empty_like(self._features),
            torch.zeros_like(self._weight),
            None if self._bias is None else torch.zeros_like(self._bias),
        ]

    def run(self, targets_N: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and negative log-likelihood of all rows."""
        num_rows, num_types = len(targets_N), len(self._weight)
        for rows in chunks(num_rows, num_types, self._features.device):
            self._take(rows, targets_N[rows])
        return self._smoothed() if self._smoothing else self._nll.clone(), self._nll

    def _take(self, rows: slice, targets_n: Tensor) -> None:
        features_nO = self._matmul.cast(self._features[rows])
        logits_nV = self._matmul.apply(features_nO, self._operand_VO, self._bias)
        on_cpu = logits_nV.device.type == "cpu"
        most = CPU_BLOCK_LOGITS if on_cpu else GPU_BLOCK_LOGITS
        size = max(1, most // logits_nV.shape[1])
        for logits_bV, targets_b in zip(
            torch.split(logits_nV, size), torch.split(targets_n, size), strict=True
        ):
            self._take_block(logits_bV, targets_b[:, None])
        grad_features, grad_weight, grad_bias = self.gradients
        if grad_features is None or grad_weight is None:
            return
        delta_nV = logits_nV
        grad_features[rows] = delta_nV @ self._operand_VO
        if delta_nV.dtype == grad_weight.dtype:
            grad_weight.addmm_(delta_nV.T, features_nO)
        else:
            grad_weight += delta_nV.T @ features_nO
        if grad_bias is not None:
            grad_bias += delta_nV.sum(0, dtype=grad_bias.dtype)

    def _take_block(self, logits_bV: Tensor, target_b1: Tensor) -> None:
        """Add a block's loss; its logits are overwritten by their gradient."""
        values_bV = logits_bV.float()
        highest_b1 = values_bV.amax(1, keepdim=True)
        # Relative to the highest logit, a probability near 1 keeps its last digits.
        log_prob_b1 = values_bV.gather(1, target_b1) - highest_b1
        if self.gradients[0] is None:
            sums_b1 = values_bV.sub_(highest_b1).exp_().sum(1, keepdim=True)
            log_highest_b1 = -sums_b1.log_()
        else:
            on_cpu = values_bV.device.type == "cpu"  # where new memory costs the most
            probs_bV = torch.softmax(values_bV, 1, out=values_bV if on_cpu else None)
            log_highest_b1 = probs_bV.amax(1, keepdim=True).log_()
        log_prob_b1 += log_highest_b1
        self._nll -= log_prob_b1.sum()
        self._normalizers += (highest_b1 - log_highest_b1).sum()
        if self.gradients[0] is None:
            return
        probs_bV.scatter_(1, target_b1, log_prob_b1.expm1_().add_(self._smoothing))
        if self._matmul.backend.emulated:
            probs_bV = self._matmul.cast(probs_bV)
        logits_bV.copy_(probs_bV)

    def _smoothed(self) -> Tensor:
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
        return (1 - share) * self._nll + share * (self._normalizers - logits)

"""Softmax and cross-entropy that never hold the logits of a whole batch.

Rows are processed in chunks. The gradient of each chunk is computed in the forward
pass, from the same logits, so an 80,000-word softmax needs the memory of a chunk and no
second matmul for the logits. Label smoothing needs no pass over the logits: its part of
the gradient is the same for every word.

Logits and their gradient are in the precision of the matmuls. Everything between is
float32, for blocks of rows that fit the cache: in bfloat16 a probability near 1 has no
digits left for its distance from 1.

Shapes: N rows (target tokens), n rows of a chunk, b rows of a block, O features, V
target vocabulary.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pipelines.model.engine.matmul import Matmul

CPU_CHUNK_ROWS = 1024
"""Enough for fast matmuls; 328 MB of float32 logits for 80,000 words."""
GPU_CHUNK_LOGITS = 1 << 28
"""512 MiB in bfloat16; each chunk reads and writes the weights' gradient once."""
CPU_BLOCK_LOGITS, GPU_BLOCK_LOGITS = 1 << 18, 1 << 26
"""Logits of a block: 1 MiB of float32, which fits the L2 cache; 256 MiB."""


def summed_cross_entropy(
    features_NO: Tensor,
    targets_N: Tensor,
    weight_VO: Tensor,
    bias_V: Tensor | None,
    matmul: Matmul,
    *,
    label_smoothing: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Compute the cross-entropy of a linear layer's softmax, summed over rows.

    Args:
        features_NO: Float [N, O].
        targets_N: int64 [N].
        weight_VO: Weights of the softmax layer.
        bias_V: Bias of the softmax layer, or None.
        matmul: Computes the matmuls.
        label_smoothing: Probability mass spread evenly over the vocabulary.

    Returns:
        The loss to be differentiated, and the negative log-likelihood of the targets
        without smoothing (no gradient); float32 scalars in nats.
    """
    inputs = [features_NO, weight_VO, *([] if bias_V is None else [bias_V])]
    # Checked here: inside a Function `needs_input_grad` is true even under no_grad.
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs):
        loss, nll = _ChunkedCrossEntropy.apply(  # type: ignore[no-untyped-call] # torch's
            features_NO, targets_N, weight_VO, bias_V, label_smoothing, matmul
        )
        return loss, nll
    softmax = _Softmax(features_NO, weight_VO, bias_V, label_smoothing, matmul)
    return softmax.compute(targets_N)


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
        loss, nll = softmax.compute(targets_N)
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
    """Split rows into chunks of about the same size."""
    max_rows = CPU_CHUNK_ROWS
    if device.type != "cpu":
        max_rows = max(1, GPU_CHUNK_LOGITS // num_types)
    num_chunks = max(1, -(-num_rows // max_rows))
    size = max(1, -(-num_rows // num_chunks))
    return [slice(start, start + size) for start in range(0, num_rows, size)]


class _Softmax:
    """Loss of a softmax layer and, where they are allocated, its gradients.

    Works on chunks of rows and on blocks of a chunk, and sums up over them. Of a row
    with logits z and target y:

        log_sum_exp      = m + log(sum(exp(z - m))), where m = max(z)
        log p(y)         = z_y - log_sum_exp
        d(-log p(y))/dz  = softmax(z) - onehot(y)
    """

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
        self._log_sum_exp = features_NO.new_zeros((), dtype=torch.float32)
        self.gradients: list[Tensor | None] = [None, None, None]

    def allocate_gradients(self) -> None:
        """Compute gradients, too: of features, weights and bias."""
        self.gradients = [
            torch.empty_like(self._features),
            torch.zeros_like(self._weight),
            None if self._bias is None else torch.zeros_like(self._bias),
        ]

    def compute(self, targets_N: Tensor) -> tuple[Tensor, Tensor]:
        """Compute loss and negative log-likelihood of all rows."""
        num_rows, num_types = len(targets_N), len(self._weight)
        for rows in chunks(num_rows, num_types, self._features.device):
            self._add_chunk(rows, targets_N[rows])
        return self._smoothed() if self._smoothing else self._nll.clone(), self._nll

    def _add_chunk(self, rows: slice, targets_n: Tensor) -> None:
        """Add the loss and the gradients of a chunk."""
        features_nO = self._matmul.cast(self._features[rows])
        logits_nV = self._matmul.linear(features_nO, self._operand_VO, self._bias)
        on_cpu = logits_nV.device.type == "cpu"
        block_logits = CPU_BLOCK_LOGITS if on_cpu else GPU_BLOCK_LOGITS
        size = max(1, block_logits // logits_nV.shape[1])
        for logits_bV, targets_b in zip(
            torch.split(logits_nV, size), torch.split(targets_n, size), strict=True
        ):
            self._add_block(logits_bV, targets_b[:, None])
        grad_features, grad_weight, grad_bias = self.gradients
        if grad_features is None or grad_weight is None:
            return
        grad_logits_nV = logits_nV
        grad_features[rows] = grad_logits_nV @ self._operand_VO
        if grad_logits_nV.dtype == grad_weight.dtype:
            grad_weight.addmm_(grad_logits_nV.T, features_nO)
        else:
            grad_weight += grad_logits_nV.T @ features_nO
        if grad_bias is not None:
            grad_bias += grad_logits_nV.sum(0, dtype=grad_bias.dtype)

    def _add_block(self, logits_bV: Tensor, target_b1: Tensor) -> None:
        """Add the loss of a block; its logits are overwritten by their gradient."""
        values_bV = logits_bV.float()
        max_b1 = values_bV.amax(1, keepdim=True)
        # Relative to the largest logit, a probability near 1 keeps its last digits.
        log_prob_b1 = values_bV.gather(1, target_b1) - max_b1
        if self.gradients[0] is None:
            sums_b1 = values_bV.sub_(max_b1).exp_().sum(1, keepdim=True)
            log_max_prob_b1 = -sums_b1.log_()
        else:
            on_cpu = values_bV.device.type == "cpu"  # where new memory costs the most
            probs_bV = torch.softmax(values_bV, 1, out=values_bV if on_cpu else None)
            log_max_prob_b1 = probs_bV.amax(1, keepdim=True).log_()
        log_prob_b1 += log_max_prob_b1
        self._nll -= log_prob_b1.sum()
        self._log_sum_exp += (max_b1 - log_max_prob_b1).sum()
        if self.gradients[0] is None:
            return
        # Smoothed, the target's gradient is p - (1 - smoothing): p - 1 is exact here.
        probs_bV.scatter_(1, target_b1, log_prob_b1.expm1_().add_(self._smoothing))
        if self._matmul.backend.emulated:
            probs_bV = self._matmul.cast(probs_bV)
        logits_bV.copy_(probs_bV)

    def _smoothed(self) -> Tensor:
        """The smoothed loss of all rows; adds its part to the gradients.

            (1 - s) * sum(-log p(y)) + s * sum(log_sum_exp - mean(z))

        The mass spread evenly lowers the gradient of every logit by s / V: for features
        and weights this is one row each, the mean of the weights and the sum of the
        features.
        """
        smoothing = self._smoothing
        num_rows, num_types = len(self._features), len(self._operand_VO)
        mean_weight_O = self._operand_VO.float().mean(0)
        sum_features_O = self._features.float().sum(0)
        sum_mean_logits = sum_features_O @ mean_weight_O
        if self._bias is not None:
            sum_mean_logits = sum_mean_logits + num_rows * self._bias.mean()
        grad_features, grad_weight, grad_bias = self.gradients
        if grad_features is not None and grad_weight is not None:
            grad_features -= (smoothing * mean_weight_O).to(grad_features.dtype)
            grad_weight -= (smoothing / num_types) * sum_features_O
        if grad_bias is not None:
            grad_bias -= smoothing * num_rows / num_types
        uniform_loss = self._log_sum_exp - sum_mean_logits
        return (1 - smoothing) * self._nll + smoothing * uniform_loss

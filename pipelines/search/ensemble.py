"""One model or several as one step function over next tokens.

Shapes: N rows, K given tokens, S sentences, C candidates, V target vocabulary.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from pipelines.artifacts.vocab import EOS
from pipelines.data.batch import PackedSequences, to_device
from pipelines.model.inference import InferenceSeq2Seq, RowState
from pipelines.search.sampling import DrawRequest, draw_tokens
from pipelines.search.topk import (
    LiveBeams,
    NextTokens,
    TokenChoice,
    beam_top_k,
    concatenate,
)

Mean = Literal["probabilities", "log_probabilities"]

_CPU_ROWS, _CPU_LOGITS = 256, 1 << 19
"""On a CPU: rows whose logits are computed together, and logits that are normalized
together, which fit its second-level cache."""
_GPU_LOGITS = 1 << 28
"""On a GPU: logits that are computed together."""

EnsembleState = list[RowState]
LogNorms = list[Tensor]
"""The log-normalizer of each model, [N]: log-probability = logit - log-normalizer."""
Choose = Callable[[slice, list[int], Tensor, LogNorms], TokenChoice]
"""Chooses next tokens for some rows, whose sentences have the given widths. The values
[N, V] are the logits of a single model, or the log-probabilities of several."""


class Ensemble:
    """Models whose predictions are averaged at every step.

    Args:
        models: They share one target vocabulary and one device.
        weights: One for each model, normalized to sum 1; equal by default.
        mean: What is averaged: probabilities, or log-probabilities (whose mean is not
            normalized).

    Source: Sutskever et al. 2014, section 3.6 (an ensemble of LSTMs); the paper does
    not say what is averaged.
    """

    def __init__(
        self,
        models: Sequence[InferenceSeq2Seq],
        *,
        weights: Sequence[float] = (),
        mean: Mean = "probabilities",
    ) -> None:
        self._models = list(models)
        weights = weights or [1.0] * len(self._models)
        self._weights = [weight / sum(weights) for weight in weights]
        self._mean = mean
        self._vocab_size = self._models[0].vocab_size

    @torch.inference_mode()
    def encode(self, src: PackedSequences) -> EnsembleState:
        """Encode sources; the state of each model has one row for each sentence."""
        return [model.encode(src) for model in self._models]

    def select(self, state: EnsembleState, rows_N: Tensor) -> EnsembleState:
        """Select rows of the state: see `StepFunction`."""
        return [
            model.select(model_state, rows_N)
            for model, model_state in zip(self._models, state, strict=True)
        ]

    @torch.inference_mode()
    def __call__(
        self, tokens_N: Tensor, state: EnsembleState, live: LiveBeams, *, count: int
    ) -> tuple[NextTokens, EnsembleState]:
        """Read a token and find the best next ones: see `StepFunction`."""
        log_prob_N = to_device(live.log_prob_N.float(), tokens_N.device)

        def choose(
            rows: slice, widths: list[int], values_NV: Tensor, norms: LogNorms
        ) -> TokenChoice:
            shift_N = log_prob_N[rows]
            if len(norms) == 1:
                shift_N = shift_N - norms[0]
            return beam_top_k(values_NV, shift_N, widths, count=count)

        return self._advance(tokens_N, state, live.widths, live.banned, choose)

    @torch.inference_mode()
    def draw(
        self, tokens_N: Tensor, state: EnsembleState, request: DrawRequest
    ) -> tuple[NextTokens, EnsembleState]:
        """Read a token and draw the next one: see `DrawFunction`."""
        uniform_N = to_device(request.uniform_N, tokens_N.device)

        def choose(
            rows: slice, _: list[int], values_NV: Tensor, __: LogNorms
        ) -> TokenChoice:
            return draw_tokens(
                values_NV,
                uniform_N[rows],
                top_k=request.top_k,
                temperature=request.temperature,
            )

        widths = [1] * len(tokens_N)
        return self._advance(tokens_N, state, widths, request.banned, choose)

    @torch.inference_mode()
    def log_probs(
        self, tokens_N: Tensor, state: EnsembleState, rows_K: Tensor, ids_K: Tensor
    ) -> tuple[Tensor, EnsembleState]:
        """Read a token and score given next ones.

        Args:
            tokens_N: int64, the last token of each row; EOS at the start.
            state: As the last call or `select` returned it.
            rows_K: int64 on the CPU, ascending: the row that each next token follows.
            ids_K: int64, the next tokens.

        Returns:
            Natural log-probabilities [K], the same as a search computes, and the new
            state.
        """
        features, state = self._read(tokens_N, state)
        log_probs: list[Tensor] = []
        for start in range(0, len(tokens_N), self._most_rows):
            rows = slice(start, min(start + self._most_rows, len(tokens_N)))
            bounds = torch.tensor([rows.start, rows.stop])
            first, end = torch.searchsorted(rows_K, bounds).tolist()
            if first == end:
                continue
            row_K = to_device(rows_K[first:end] - start, ids_K.device)
            logits = self._logits(features, rows)
            norms = [self._log_norm(logits_NV)[row_K] for logits_NV in logits]
            chosen = [logits_NV[row_K, ids_K[first:end]] for logits_NV in logits]
            log_probs.append(self._average(chosen, norms))
        return torch.cat(log_probs), state

    def _read(
        self, tokens_N: Tensor, state: EnsembleState
    ) -> tuple[list[Tensor], EnsembleState]:
        """Read a token; returns the input of each model's softmax and the new state."""
        steps = [
            model.advance(tokens_N, model_state)
            for model, model_state in zip(self._models, state, strict=True)
        ]
        return [features for features, _ in steps], [state for _, state in steps]

    @property
    def _most_rows(self) -> int:
        """Rows whose logits are computed together."""
        if self._models[0].device.type == "cuda":
            return max(1, _GPU_LOGITS // self._vocab_size)
        return _CPU_ROWS

    def _row_blocks(self, widths: Sequence[int]) -> Iterator[tuple[slice, list[int]]]:
        """Yield blocks of rows with the widths of their sentences, which stay whole."""
        start = end = 0
        block_widths: list[int] = []
        for width in widths:
            if block_widths and end + width - start > self._most_rows:
                yield slice(start, end), block_widths
                start, block_widths = end, []
            block_widths.append(width)
            end += width
        yield slice(start, end), block_widths

    def _logits(self, features: Sequence[Tensor], rows: slice) -> list[Tensor]:
        """Logits of some rows by each model, [rows, V and a few that are -inf]."""
        num_rows = rows.stop - rows.start
        logits: list[Tensor] = []
        for model, features_NO in zip(self._models, features, strict=True):
            num_padded = min(model.padded(num_rows), len(features_NO))
            start = min(rows.start, len(features_NO) - num_padded)
            padded = model.logits(features_NO[start : start + num_padded])
            logits.append(padded[rows.start - start :][:num_rows])
        return logits

    def _log_norm(self, logits_NV: Tensor) -> Tensor:
        """Compute the log-normalizer of each row, [N]."""
        num_rows, num_ids = logits_NV.shape
        block = num_rows if logits_NV.is_cuda else max(1, _CPU_LOGITS // num_ids)
        return torch.cat([_logsumexp(rows) for rows in torch.split(logits_NV, block)])

    def _advance(
        self,
        tokens_N: Tensor,
        state: EnsembleState,
        widths: list[int],
        banned: Sequence[int],
        choose: Choose,
    ) -> tuple[NextTokens, EnsembleState]:
        """Read a token and score the next ones that `choose` chooses."""
        features, state = self._read(tokens_N, state)
        blocks: list[NextTokens] = []
        for rows, block_widths in self._row_blocks(widths):
            logits = self._logits(features, rows)
            blocks.append(
                self._next_tokens(logits, banned, partial(choose, rows, block_widths))
            )
            blocks[-1].row_SC.add_(rows.start)
        return concatenate(blocks), state

    def _next_tokens(
        self,
        logits: Sequence[Tensor],
        banned: Sequence[int],
        choose: Callable[[Tensor, LogNorms], TokenChoice],
    ) -> NextTokens:
        norms = [self._log_norm(logits_NV) for logits_NV in logits]
        values_NV = self._ranking(logits, norms)
        eos_log_prob_N = self._average([rows[:, EOS] for rows in logits], norms)
        for token in banned:
            values_NV[:, token] = -torch.inf
        row_SC, id_SC, possible_SC = choose(values_NV, norms)
        log_prob_SC = self._average(
            [logits_NV[row_SC, id_SC] for logits_NV in logits],
            [norm_N[row_SC] for norm_N in norms],
        )
        log_prob_SC = log_prob_SC.masked_fill(~possible_SC, -torch.inf)
        return NextTokens(row_SC, id_SC, log_prob_SC, eos_log_prob_N)

    def _ranking(self, logits: Sequence[Tensor], norms: LogNorms) -> Tensor:
        """Log-probabilities [N, V]; the logits of a single model, not normalized."""
        if len(logits) == 1:
            return logits[0]
        terms = [
            (logits_NV, norm_N[:, None], weight)
            for logits_NV, norm_N, weight in zip(
                logits, norms, self._weights, strict=True
            )
        ]
        if self._mean == "probabilities":
            shifted = (rows - (norm - math.log(w)) for rows, norm, w in terms)
            return _sum(rows.exp_() for rows in shifted).log_()
        return _sum((rows - norm).mul_(w) for rows, norm, w in terms)

    def _average(self, logits: Sequence[Tensor], norms: Sequence[Tensor]) -> Tensor:
        """Average the models' predictions of chosen tokens, as log-probabilities."""
        log_probs = [value - norm for value, norm in zip(logits, norms, strict=True)]
        if len(log_probs) == 1:
            return log_probs[0].clamp_(max=0.0)  # rounding could lift it above
        terms = zip(log_probs, self._weights, strict=True)
        if self._mean == "probabilities":
            weighted = torch.stack([value + math.log(w) for value, w in terms])
            return weighted.logsumexp(0).clamp_(max=0.0)
        return _sum(value * w for value, w in terms).clamp_(max=0.0)


def _logsumexp(logits_NV: Tensor) -> Tensor:
    largest_N1 = logits_NV.amax(1, keepdim=True)
    sums_N = (logits_NV - largest_N1).exp_().sum(1)
    return sums_N.log_().add_(largest_N1[:, 0])


def _sum(terms: Iterable[Tensor]) -> Tensor:
    first, *rest = terms
    for term in rest:
        first += term
    return first

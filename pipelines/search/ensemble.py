"""One or several models as one step function: what they say of the next word.

Shapes: N rows, K given words, S sentences, C candidates, V target vocabulary.
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
from pipelines.search.sampling import Draw, draw_words
from pipelines.search.topk import Extensions, Live, best_extensions, joined

Mean = Literal["probabilities", "log_probabilities"]

_ROWS, _LOGITS = 256, 1 << 19
"""On a CPU: rows whose logits are made at once, and logits that are looked through at
once, which fit its second cache."""
_GPU_LOGITS = 1 << 28
"""The same on a GPU, for both."""

EnsembleState = list[RowState]
Norms = list[Tensor]
"""What makes each model's logits log-probabilities when it is taken away, [N]."""
Choice = tuple[Tensor, Tensor, Tensor]
"""Rows and ids, int64 [S, C], and whether each is a candidate at all."""
Choose = Callable[[slice, list[int], Tensor, Norms], Choice]
"""Chooses words for some rows, whose sentences have these widths, from values [N, V]:
log-probabilities, or the logits of a single model; and the norms."""


class Ensemble:
    """Models that vote at every step with the mean of what they say.

    Args:
        models: With one and the same target vocabulary, on one device.
        weights: One for each model, whose sum does not matter; equal by default.
        mean: Of probabilities, or of log-probabilities (which do not sum up to 1).

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
        found = list(weights) or [1.0] * len(self._models)
        self._weights = [weight / sum(found) for weight in found]
        self._mean = mean
        self._vocab_size = self._models[0].vocab_size

    @torch.inference_mode()
    def encode(self, src: PackedSequences) -> EnsembleState:
        """The state from which a search starts, one a model."""
        return [model.encode(src) for model in self._models]

    def select(self, state: EnsembleState, rows_N: Tensor) -> EnsembleState:
        """The states of some rows."""
        return [
            model.select(own, rows_N)
            for model, own in zip(self._models, state, strict=True)
        ]

    @torch.inference_mode()
    def __call__(
        self, tokens_N: Tensor, state: EnsembleState, live: Live, *, count: int
    ) -> tuple[Extensions, EnsembleState]:
        """Read a word and find the best words to go on with: see `StepFunction`."""
        log_prob_N = to_device(live.log_prob_N.float(), tokens_N.device)

        def best(
            rows: slice, widths: list[int], values_NV: Tensor, norms: Norms
        ) -> Choice:
            shift_N = log_prob_N[rows]
            if len(norms) == 1:
                shift_N = shift_N - norms[0]
            return best_extensions(values_NV, shift_N, widths, count=count)

        return self._extend(tokens_N, state, live.widths, live.banned, best)

    @torch.inference_mode()
    def draw(
        self, tokens_N: Tensor, state: EnsembleState, draw: Draw
    ) -> tuple[Extensions, EnsembleState]:
        """Read a word and draw the next one: see `DrawFunction`."""
        uniform_N = to_device(draw.uniform_N, tokens_N.device)

        def drawn(rows: slice, _: list[int], values_NV: Tensor, __: Norms) -> Choice:
            return draw_words(
                values_NV,
                uniform_N[rows],
                top_k=draw.top_k,
                temperature=draw.temperature,
            )

        return self._extend(tokens_N, state, [1] * len(tokens_N), draw.banned, drawn)

    @torch.inference_mode()
    def log_probs(
        self, tokens_N: Tensor, state: EnsembleState, rows_K: Tensor, words_K: Tensor
    ) -> tuple[Tensor, EnsembleState]:
        """Read a word and score given next ones.

        Args:
            tokens_N: int64, the word each row took last; EOS at the start.
            state: As the last call or `select` left it.
            rows_K: int64 on the CPU, rising: rows whose next word is asked for.
            words_K: int64, the words.

        Returns:
            Natural log-probabilities [K], the same as a search finds, and the new
            state.
        """
        features, state = self._read(tokens_N, state)
        found: list[Tensor] = []
        for start in range(0, len(tokens_N), self._most_rows):
            rows = slice(start, min(start + self._most_rows, len(tokens_N)))
            edges = torch.tensor([rows.start, rows.stop])
            first, end = torch.searchsorted(rows_K, edges).tolist()
            if first == end:
                continue
            own_K = to_device(rows_K[first:end] - start, words_K.device)
            logits = self._logits(features, rows)
            norms = [self._norm(each)[own_K] for each in logits]
            picked = [each[own_K, words_K[first:end]] for each in logits]
            found.append(self._mix(picked, norms))
        return torch.cat(found), state

    def _read(
        self, tokens_N: Tensor, state: EnsembleState
    ) -> tuple[list[Tensor], EnsembleState]:
        """Read a word; what each model's softmax reads, and the new state."""
        steps = [
            model.advance(tokens_N, own)
            for model, own in zip(self._models, state, strict=True)
        ]
        return [features for features, _ in steps], [own for _, own in steps]

    @property
    def _most_rows(self) -> int:
        on_gpu = self._models[0].device.type == "cuda"
        return max(1, _GPU_LOGITS // self._vocab_size) if on_gpu else _ROWS

    def _whole_sentences(
        self, widths: Sequence[int]
    ) -> Iterator[tuple[slice, list[int]]]:
        """Rows to look at together, with the widths of their sentences."""
        start = end = 0
        own: list[int] = []
        for width in widths:
            if own and end + width - start > self._most_rows:
                yield slice(start, end), own
                start, own = end, []
            own.append(width)
            end += width
        yield slice(start, end), own

    def _logits(self, features: Sequence[Tensor], rows: slice) -> list[Tensor]:
        """Each model's logits of some rows, [rows, V and a few that are -inf]."""
        num_rows = rows.stop - rows.start
        found: list[Tensor] = []
        for model, each in zip(self._models, features, strict=True):
            most = min(model.padded(num_rows), len(each))
            start = min(rows.start, len(each) - most)
            logits = model.logits(each[start : start + most])
            found.append(logits[rows.start - start :][:num_rows])
        return found

    def _norm(self, logits_NV: Tensor) -> Tensor:
        """What makes logits log-probabilities when it is taken away, [N]."""
        num_rows, num_ids = logits_NV.shape
        at_once = num_rows if logits_NV.is_cuda else max(1, _LOGITS // num_ids)
        return torch.cat([_log_norm(each) for each in torch.split(logits_NV, at_once)])

    def _extend(
        self,
        tokens_N: Tensor,
        state: EnsembleState,
        widths: list[int],
        banned: Sequence[int],
        choose: Choose,
    ) -> tuple[Extensions, EnsembleState]:
        """Read a word and score the next ones that `choose` takes."""
        features, state = self._read(tokens_N, state)
        found: list[Extensions] = []
        for rows, own_widths in self._whole_sentences(widths):
            logits = self._logits(features, rows)
            found.append(
                self._extensions(logits, banned, partial(choose, rows, own_widths))
            )
            found[-1].row_SC.add_(rows.start)
        return joined(found), state

    def _extensions(
        self,
        logits: Sequence[Tensor],
        banned: Sequence[int],
        choose: Callable[[Tensor, Norms], Choice],
    ) -> Extensions:
        norms = [self._norm(each) for each in logits]
        values_NV = self._ranking(logits, norms)
        eos_N = self._mix([each[:, EOS] for each in logits], norms)
        for word in banned:
            values_NV[:, word] = -torch.inf
        row_SC, id_SC, possible_SC = choose(values_NV, norms)
        log_prob_SC = self._mix(
            [each[row_SC, id_SC] for each in logits], [norm[row_SC] for norm in norms]
        )
        log_prob_SC = log_prob_SC.masked_fill(~possible_SC, -torch.inf)
        return Extensions(row_SC, id_SC, log_prob_SC, eos_N)

    def _ranking(self, logits: Sequence[Tensor], norms: Sequence[Tensor]) -> Tensor:
        """Log-probabilities [N, V]; of a single model, but for its norm."""
        if len(logits) == 1:
            return logits[0]
        terms = [
            (each, norm[:, None], weight)
            for each, norm, weight in zip(logits, norms, self._weights, strict=True)
        ]
        if self._mean == "probabilities":
            shifted = (each - (norm - math.log(w)) for each, norm, w in terms)
            return _sum(each.exp_() for each in shifted).log_()
        return _sum((each - norm).mul_(w) for each, norm, w in terms)

    def _mix(self, picked: Sequence[Tensor], norms: Sequence[Tensor]) -> Tensor:
        """Log-probabilities of chosen words from the models' logits of them."""
        each = [value - norm for value, norm in zip(picked, norms, strict=True)]
        if len(each) == 1:
            return each[0].clamp_(max=0.0)  # rounding could lift it above
        terms = zip(each, self._weights, strict=True)
        if self._mean == "probabilities":
            mixed = torch.stack([value + math.log(w) for value, w in terms])
            return mixed.logsumexp(0).clamp_(max=0.0)
        return _sum(value * w for value, w in terms).clamp_(max=0.0)


def _log_norm(logits_NV: Tensor) -> Tensor:
    largest_N1 = logits_NV.amax(1, keepdim=True)
    sums_N = (logits_NV - largest_N1).exp_().sum(1)
    return sums_N.log_().add_(largest_N1[:, 0])


def _sum(terms: Iterable[Tensor]) -> Tensor:
    first, *rest = terms
    for term in rest:
        first += term
    return first

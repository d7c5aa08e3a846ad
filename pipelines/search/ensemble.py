"""One or several models as one step function for the search.

Shapes: N rows, V target vocabulary.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from pipelines.data.batch import Sequences
from pipelines.model.lstm import State
from pipelines.model.seq2seq import Seq2Seq


class Ensemble:
    """Models that vote at every step with the mean of their probabilities.

    Args:
        models: With one and the same target vocabulary, on one device, in eval mode.

    Source: Sutskever et al. 2014, section 3.6 (an ensemble of LSTMs); the paper does
    not say what is averaged.
    """

    def __init__(self, models: Sequence[Seq2Seq]) -> None:
        self._models = list(models)

    @torch.inference_mode()
    def encode(self, src: Sequences) -> list[State]:
        """The state from which a search starts, one a model."""
        return [model.encode(src) for model in self._models]

    def __call__(
        self, tokens_N: Tensor, state: list[State]
    ) -> tuple[Tensor, list[State]]:
        """Log-probabilities [N, V] of the next token, and the new states."""
        steps = [
            model.step(tokens_N, own)
            for model, own in zip(self._models, state, strict=True)
        ]
        log_probs = [logits_NV.log_softmax(1) for logits_NV, _ in steps]
        states = [own for _, own in steps]
        if len(log_probs) == 1:
            return log_probs[0], states
        stacked = torch.stack(log_probs)
        mean_NV = stacked.logsumexp(0) - torch.tensor(float(len(log_probs))).log()
        return mean_NV, states

    def select(self, state: list[State], rows_N: Tensor) -> list[State]:
        """The states of some rows."""
        return [
            model.select(own, rows_N)
            for model, own in zip(self._models, state, strict=True)
        ]

"""How good the model is on pairs it does not learn from."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from pipelines.config import TrainConfig
from pipelines.data.batch import collate
from pipelines.data.batching import sequential_batches
from pipelines.data.dataset import ParallelDataset
from pipelines.model.seq2seq import Seq2Seq
from pipelines.progress import Progress

Bleu = Callable[[Seq2Seq], float]
"""Translates the validation text greedily and scores it."""


@dataclass(frozen=True, slots=True)
class Validation:
    """What one validation found."""

    perplexity: float
    """exp of the mean negative log-likelihood of a target token, EOS included."""
    bleu: float | None = None

    def better_than(self, best: "Validation | None", by: str) -> bool:
        """Whether this is the best so far; the earlier one wins at equality."""
        if best is None:
            return True
        if by == "bleu":
            return (self.bleu or 0.0) > (best.bleu or 0.0)
        return self.perplexity < best.perplexity


@torch.no_grad()
def validate(
    model: Seq2Seq,
    dataset: ParallelDataset,
    config: TrainConfig,
    *,
    device: torch.device,
    progress: Progress,
    bleu: Bleu | None = None,
) -> Validation:
    """Measure perplexity, and BLEU where `bleu` is given.

    The model is left in the mode it was in.
    """
    training = model.training
    model.eval()
    batches = sequential_batches(
        dataset.src_lengths,
        dataset.tgt_lengths,
        batch_size=config.batch_size,
        max_tokens=config.max_batch_tokens,
    )
    nll = torch.zeros((), dtype=torch.float64, device=device)
    num_tokens = 0
    with progress.task("validate", total=len(batches), unit="batches") as task:
        for indices in batches:
            batch = collate(dataset, indices).to(device)
            nll += model(batch)[1].double()
            num_tokens += batch.num_tgt_tokens
            task.advance()
    perplexity = math.exp(min(700.0, nll.item() / num_tokens))
    found = Validation(perplexity, bleu(model) if bleu else None)
    model.train(training)
    return found

"""How good the model is on pairs it does not learn from."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch

from pipelines.config import TrainConfig
from pipelines.data.batch import collate
from pipelines.data.batching import sequential_batches
from pipelines.data.dataset import ParallelDataset
from pipelines.distributed.process_group import DistributedContext
from pipelines.metrics.perplexity import perplexity
from pipelines.model.engine.matmul import choose_matmul
from pipelines.model.engine.precision import tf32_switched
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
    distributed: DistributedContext,
    progress: Progress,
    bleu: Bleu | None = None,
) -> Validation:
    """Measure perplexity, and BLEU where `bleu` is given.

    The processes share the batches, and all know the result. The model is left in the
    mode it was in.
    """
    training = model.training
    device = next(model.parameters()).device
    matmul = choose_matmul(config.precision, device)
    model.eval()
    batches = sequential_batches(
        dataset.src_lengths,
        dataset.tgt_lengths,
        batch_size=config.batch_size,
        max_tokens=config.max_batch_tokens,
    )
    batches = batches[distributed.rank :: distributed.size]
    sums = torch.zeros(2, dtype=torch.float64, device=device)
    with progress.task("validate", total=len(batches), unit="batches") as task:
        for indices in batches:
            batch = collate(dataset, indices).to(device)
            with tf32_switched(matmul.backend, device):
                sums[0] += model(batch, matmul)[1].double()
            sums[1] += batch.num_tgt_tokens
            task.advance()
    nll, num_tokens = distributed.all_reduce_sum(sums).tolist()
    score = bleu(model) if bleu and distributed.is_first else None
    model.train(training)
    return Validation(
        perplexity(-nll, num_tokens),
        cast(float | None, distributed.broadcast_object(score)),
    )

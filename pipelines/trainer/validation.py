"""Validation: perplexity, and BLEU on request, on pairs the model does not train on."""

from collections.abc import Callable

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
from pipelines.trainer.train_state import ValidationResult

Bleu = Callable[[Seq2Seq], float]
"""Model -> BLEU of its translation of the validation text."""


@torch.no_grad()
def validate(
    model: Seq2Seq,
    dataset: ParallelDataset,
    config: TrainConfig,
    *,
    distributed: DistributedContext,
    progress: Progress,
    bleu: Bleu | None = None,
) -> ValidationResult:
    """Measure perplexity, and BLEU where `bleu` is given.

    The processes share the batches and all return the same result; rank 0 computes
    BLEU. The model is left in the mode (training or evaluation) it was in.
    """
    training = model.training
    device = next(model.parameters()).device
    matmul = choose_matmul(config.precision, device)
    model.eval()
    batches = sequential_batches(dataset.src_lengths, dataset.tgt_lengths, config)
    batches = batches[distributed.rank :: distributed.size]
    sums = torch.zeros(2, dtype=torch.float64, device=device)
    with progress.task("validate", total=len(batches), unit="batches") as task:
        for pair_ids in batches:
            batch = collate(dataset, pair_ids).to(device)
            with tf32_switched(matmul.backend, device):
                sums[0] += model(batch, matmul)[1].double()
            sums[1] += batch.num_tgt_tokens
            task.advance()
    nll, num_tokens = distributed.all_reduce_sum(sums).tolist()
    score = bleu(model) if bleu and distributed.is_main_process else None
    model.train(training)
    return ValidationResult(
        perplexity(-nll, num_tokens), distributed.broadcast_object(score)
    )

"""One update of the model: loss, gradient, clipping, step; and all that it changes.

Holds what a checkpoint keeps beside the position: weights, optimizer, average. An
update is a function of these, its batch, its number and the seed.
"""

import numpy as np
import torch
from torch import Tensor

from pipelines.config import TrainConfig
from pipelines.data.loader import LoadedBatch
from pipelines.distributed.process_group import DistributedContext, GradientExchange
from pipelines.errors import OutOfMemoryError
from pipelines.model.engine.arithmetic import describe_arithmetic
from pipelines.model.engine.device import is_out_of_memory
from pipelines.model.engine.matmul import choose_matmul
from pipelines.model.engine.precision import tf32_switched
from pipelines.model.seq2seq import Seq2Seq
from pipelines.trainer.optimizer import (
    WeightAverage,
    build_optimizer,
    prepare_state,
    state_tensors,
    update,
)
from pipelines.wording import plural


class TrainStep:
    """A model that learns from one batch after the other.

    Args:
        model: On its device, initialized.
        config: Of training.
        distributed: The processes that train this model together.

    Attributes:
        matmul: Computes the products.
        average: Of the weights, where that is wanted.

    Raises:
        UsageError: The device does not support the precision.
    """

    def __init__(
        self, model: Seq2Seq, config: TrainConfig, distributed: DistributedContext
    ) -> None:
        self.model, self.distributed = model, distributed
        self._config = config
        self._parameters = list(model.parameters())
        self.device = self._parameters[0].device
        self.matmul = choose_matmul(config.precision, self.device)
        self.optimizer = build_optimizer(self._parameters, config)
        self.average = (
            WeightAverage(model, decay=config.ema_decay) if config.ema_decay else None
        )
        self._exchange = GradientExchange(distributed, self._parameters)

    @property
    def arithmetic(self) -> dict[str, str]:
        """What the last digits of an update depend on: see `engine.arithmetic`."""
        found = describe_arithmetic(str(self.matmul.backend), self.device)
        lstm = self.model.encoder.lstm.describe_engine(self.matmul, self.device)
        return found | {"lstm": lstm, "processes": str(self.distributed.size)}

    def learn(
        self, planned: LoadedBatch, *, step: int, rate: float
    ) -> tuple[Tensor, Tensor]:
        """Make one update.

        Args:
            planned: Its pairs.
            step: Updates before it.
            rate: Learning rate.

        Returns:
            The negative log-likelihood of this process's target tokens, in sum, and
            the norm of the gradient of all processes; float32 scalars on the device.

        Raises:
            OutOfMemoryError: The batch is too large.
        """
        config = self._config
        if self.model.config.dropout:
            torch.manual_seed(_dropout_seed(config.seed, step, self.distributed.rank))
        per_sentence = config.loss_per == "sentence"
        divisor = len(planned.numbers) if per_sentence else planned.num_tgt_tokens
        try:
            nll = self._differentiate(planned, planned.weight / divisor)
            norm = update(
                self.optimizer,
                self._parameters,
                rate=rate,
                clip_norm=config.clip_norm,
            )
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise self._out_of_memory(planned, step) from error
        if self.average is not None:
            self.average.update(step + 1)
        return nll, norm

    def broadcast(self) -> None:
        """Give all processes what the first one has."""
        if not self.distributed.is_first:
            prepare_state(self.optimizer)
        self.distributed.broadcast([p.detach() for p in self._parameters])
        self.distributed.broadcast(state_tensors(self.optimizer))
        if self.average is not None:
            self.distributed.broadcast(self.average.tensors)

    def _differentiate(self, planned: LoadedBatch, scale: float) -> Tensor:
        """Make the gradient of the scaled loss; returns the negative log-likelihood."""
        with tf32_switched(self.matmul.backend, self.device):
            loss, nll = self.model(
                planned.batch.to(self.device),
                self.matmul,
                label_smoothing=self._config.label_smoothing,
            )
            (loss * scale).backward()
        self._exchange.finish()
        weighted: Tensor = nll * planned.weight
        return weighted

    def _out_of_memory(self, planned: LoadedBatch, step: int) -> OutOfMemoryError:
        batch = planned.batch
        return OutOfMemoryError(
            f"out of memory at step {step + 1}: a batch of "
            f"{plural(batch.num_sentences, 'pair')} of up to {len(batch.src.sizes):,} "
            f"source and {plural(len(batch.tgt_in.sizes), 'target token')}",
            hint="lower train.max_batch_tokens (now "
            f"{self._config.max_batch_tokens}) or train.batch_size "
            f"({self._config.batch_size}); s2s train resumes from the last checkpoint",
        )


def _dropout_seed(seed: int, step: int, rank: int) -> int:
    """Chance is a function of the seed and the step, so that training can resume."""
    words = [seed, step, rank] if rank else [seed, step]
    state = np.random.SeedSequence(words).generate_state(1, np.uint64)
    return int(state[0])

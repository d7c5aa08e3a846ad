"""One update of the model: loss, gradients, clipping, optimizer step.

Owns the tensors that a checkpoint keeps: weights, optimizer state, weight average. An
update is a function of these, its batch, its step and the seed.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from pipelines.config import TrainConfig
from pipelines.data.loader import LoadedBatch
from pipelines.distributed.process_group import DistributedContext, GradientAllReduce
from pipelines.errors import OutOfMemoryError
from pipelines.model.engine.arithmetic import describe_arithmetic
from pipelines.model.engine.device import is_out_of_memory
from pipelines.model.engine.matmul import choose_matmul
from pipelines.model.engine.precision import tf32_switched
from pipelines.model.seq2seq import Seq2Seq
from pipelines.trainer.optimizer import (
    WeightAverage,
    build_optimizer,
    clip_and_step,
    prepare_state,
    state_tensors,
)
from pipelines.wording import plural


class TrainStep:
    """Updates a model, one batch per call.

    Args:
        model: On its device, initialized.
        config: Settings of training.
        distributed: The processes that train this model together.

    Attributes:
        matmul: Matrix multiplication in the precision of training.
        average: Moving average of the weights; None where `ema_decay` is 0.

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
        self._all_reduce = GradientAllReduce(distributed, self._parameters)

    @property
    def arithmetic(self) -> dict[str, str]:
        """What the last digits of an update depend on: see `engine.arithmetic`."""
        arithmetic = describe_arithmetic(str(self.matmul.backend), self.device)
        lstm = self.model.encoder.lstm.describe_engine(self.matmul, self.device)
        return arithmetic | {"lstm": lstm, "processes": str(self.distributed.size)}

    def __call__(
        self, loaded: LoadedBatch, *, step: int, learning_rate: float
    ) -> tuple[Tensor, Tensor]:
        """Make one update.

        Args:
            loaded: Its batch.
            step: Updates before this one.
            learning_rate: Learning rate of this update.

        Returns:
            The summed negative log-likelihood of this process's target tokens, and the
            norm of the gradient summed over all processes; float32 scalars on the
            device.

        Raises:
            OutOfMemoryError: The batch is too large.
        """
        config = self._config
        if self.model.config.dropout:
            torch.manual_seed(_dropout_seed(config.seed, step, self.distributed.rank))
        per_sentence = config.loss_per == "sentence"
        divisor = len(loaded.pair_ids) if per_sentence else loaded.num_tgt_tokens
        try:
            nll = self._compute_gradients(loaded, loaded.weight / divisor)
            norm = clip_and_step(
                self.optimizer,
                self._parameters,
                learning_rate=learning_rate,
                clip_norm=config.clip_norm,
            )
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise self._out_of_memory(loaded, step) from error
        if self.average is not None:
            self.average.update(step + 1)
        return nll, norm

    @contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """Give the model its averaged weights inside the block, if they are kept."""
        if self.average is None:
            yield
            return
        self.average.swap()
        try:
            yield
        finally:
            self.average.swap()

    def broadcast(self) -> None:
        """Overwrite weights, optimizer state and average with those of rank 0."""
        if not self.distributed.is_main_process:
            prepare_state(self.optimizer)
        self.distributed.broadcast([p.detach() for p in self._parameters])
        self.distributed.broadcast(state_tensors(self.optimizer))
        if self.average is not None:
            self.distributed.broadcast(self.average.tensors)

    def _compute_gradients(self, loaded: LoadedBatch, scale: float) -> Tensor:
        """Forward and backward pass of `scale` times the loss.

        Returns:
            The summed negative log-likelihood of this process's target tokens.
        """
        with tf32_switched(self.matmul.backend, self.device):
            loss, nll = self.model(
                loaded.batch.to(self.device),
                self.matmul,
                label_smoothing=self._config.label_smoothing,
            )
            (loss * scale).backward()
        self._all_reduce.wait()
        weighted: Tensor = nll * loaded.weight
        return weighted

    def _out_of_memory(self, loaded: LoadedBatch, step: int) -> OutOfMemoryError:
        batch = loaded.batch
        src_length, tgt_length = (
            len(batch.src.batch_sizes),
            len(batch.tgt_in.batch_sizes),
        )
        return OutOfMemoryError(
            f"out of memory at step {step + 1}: a batch of "
            f"{plural(batch.num_sentences, 'pair')} of up to {src_length:,} "
            f"source and {plural(tgt_length, 'target token')}",
            hint="lower train.max_batch_tokens (now "
            f"{self._config.max_batch_tokens}) or train.batch_size "
            f"({self._config.batch_size}); s2s train resumes from the last checkpoint",
        )


def _dropout_seed(seed: int, step: int, rank: int) -> int:
    """Seed of dropout as a function of seed and step, so that training can resume."""
    words = [seed, step, rank] if rank else [seed, step]
    state = np.random.SeedSequence(words).generate_state(1, np.uint64)
    return int(state[0])

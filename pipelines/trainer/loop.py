"""The training loop: updates, validations, checkpoints, and resuming.

Everything that happens at a step is a function of the step, the seed and the data, so a
training that was interrupted and resumed ends with the same bits.
"""

import logging
import math
import time
from functools import partial

from pipelines.artifacts.metrics_log import MetricsLog
from pipelines.config import TrainConfig
from pipelines.data.batching import epoch_batches
from pipelines.data.dataset import ParallelDataset
from pipelines.data.loader import LoadedBatch, Loader
from pipelines.distributed.process_group import AsyncAllReduceMax, DistributedContext
from pipelines.errors import DivergenceError, Interrupted
from pipelines.model.seq2seq import Seq2Seq
from pipelines.progress import Progress, Task
from pipelines.trainer.checkpoints import CheckpointManager
from pipelines.trainer.running_metrics import RunningMetrics
from pipelines.trainer.schedule import last_step, learning_rate
from pipelines.trainer.signals import SignalRequests, receive_signals
from pipelines.trainer.train_state import TrainState, ValidationResult
from pipelines.trainer.train_step import TrainStep
from pipelines.trainer.validation import Bleu, validate

log = logging.getLogger(__name__)

_LOG_EVERY_STEPS = 25


class Trainer:
    """Trains one model.

    Args:
        model: On its device, initialized.
        config: Settings of training.
        train: Pairs to train on.
        valid: Pairs to validate on.
        checkpoints: Saves and restores the checkpoints.
        progress: Shows the training and its validations.
        bleu: Scores a translation of the validation text; None for perplexity alone.
        distributed: The processes that train this model together.
    """

    def __init__(
        self,
        model: Seq2Seq,
        config: TrainConfig,
        *,
        train: ParallelDataset,
        valid: ParallelDataset,
        checkpoints: CheckpointManager,
        progress: Progress,
        bleu: Bleu | None = None,
        distributed: DistributedContext | None = None,
    ) -> None:
        self.model = model
        self.config = config
        self._train, self._valid = train, valid
        self._checkpoints, self._progress, self._bleu = checkpoints, progress, bleu
        self._distributed = distributed or DistributedContext()
        self._train_step = TrainStep(model, config, self._distributed)
        self._running = RunningMetrics(self._distributed, clip_norm=config.clip_norm)
        self._epoch_batches = partial(
            epoch_batches, train.src_lengths, train.tgt_lengths, config
        )
        self.steps_per_epoch = len(self._epoch_batches(0))
        self.state = TrainState(steps_per_epoch=self.steps_per_epoch)

    @property
    def arithmetic(self) -> dict[str, str]:
        """What the last digits of the training depend on."""
        return self._train_step.arithmetic

    @property
    def total_steps(self) -> int:
        """Step at which training ends, unless time or early stopping ends it before."""
        return last_step(
            self.config, steps_per_epoch=self.steps_per_epoch, ahead=self.state.ahead
        )

    def learning_rate(self, step: int) -> float:
        """Learning rate of the update that follows `step` updates."""
        return learning_rate(
            step + self.state.ahead,
            self.config,
            steps_per_epoch=self.steps_per_epoch,
            total_steps=self.total_steps + self.state.ahead,
        )

    def fit(self) -> TrainState:
        """Train until a limit, early stopping or a signal.

        Returns:
            The state at the end.

        Raises:
            Interrupted: A signal asked to stop; a checkpoint is written.
            DivergenceError: The loss or the gradient is not finite.
        """
        self._resume()
        metrics_log = MetricsLog(
            self._checkpoints.folder if self._distributed.is_main_process else None,
            step=self.state.step,
            tensorboard=self.config.tensorboard,
        )
        self.model.train()
        try:
            with (
                receive_signals() as requests,
                self._progress.task(
                    "train", total=self.total_steps, unit="steps"
                ) as task,
                Loader(
                    self._train,
                    self._epoch_batches,
                    device=self._train_step.device,
                    rank=self._distributed.rank,
                    num_ranks=self._distributed.size,
                ) as loader,
            ):
                task.advance(self.state.step)
                if not self._is_finished():
                    self._run(loader, requests, metrics_log, task)
        except DivergenceError as error:
            metrics_log.write(self.state.step, "diverged", {"pairs": error.pair_ids})
            raise
        finally:
            metrics_log.close()
        return self.state

    def _resume(self) -> None:
        """Restore the newest sound checkpoint, which rank 0 reads, in all processes."""
        state = None
        if self._distributed.is_main_process:
            state = self._checkpoints.resume(self._train_step)
        state = self._distributed.broadcast_object(state)
        if state is None:
            return
        self._train_step.broadcast()
        self.state = state
        log.info("resuming from step %d of %d", state.step, self.total_steps)

    def _run(
        self,
        loader: Loader,
        requests: SignalRequests,
        metrics_log: MetricsLog,
        task: Task,
    ) -> None:
        """Make updates until training is finished or a signal asks to stop."""
        state = self.state
        batches = loader.batches(state.epoch, state.batch)
        maxima = AsyncAllReduceMax(self._distributed)
        elapsed_s, stop_signal = state.elapsed_s, 0.0
        self._running.reset()
        while not (stop_signal or self._is_finished()):
            started, waited_s = time.perf_counter(), loader.waited_s
            loaded = next(batches)
            self._update(loaded, waited_s=loader.waited_s - waited_s)
            task.advance()
            if state.step % _LOG_EVERY_STEPS == 0:
                self._log_metrics(metrics_log, task)
            elapsed_s += time.perf_counter() - started
            # All processes stop and save on a signal to any, and go by one clock.
            stop_signal, save, max_elapsed_s = maxima.exchange(
                requests.stop_signal or 0, requests.pop_save(), elapsed_s
            )
            state.elapsed_s = max(state.elapsed_s, max_elapsed_s)
            if self._is_validation_due():
                self._log_metrics(metrics_log, task)
                self._validate(metrics_log)
            elif save or stop_signal or self._is_checkpoint_due():
                self._log_metrics(metrics_log, task)
                self._save()
        maxima.wait()
        # A signal may have come after the last exchange, as in the last validation.
        (stop_signal,) = self._distributed.all_reduce_max(requests.stop_signal or 0)
        if stop_signal:
            raise Interrupted(
                f"stopped at step {state.step} of {self.total_steps}; "
                "everything is saved",
                hint="s2s train resumes from there",
                signal_number=int(stop_signal),
            )

    def _update(self, loaded: LoadedBatch, *, waited_s: float) -> None:
        step = self.state.step
        nll, norm = self._train_step(
            loaded, step=step, learning_rate=self.learning_rate(step)
        )
        self.state.advance(num_words=loaded.num_words, ends_epoch=loaded.ends_epoch)
        self._running.update(loaded, nll, norm, waited_s=waited_s)

    def _is_finished(self) -> bool:
        config, state = self.config, self.state
        return (
            state.step >= self.total_steps
            or 0 < 60 * config.max_minutes <= state.elapsed_s
            or 0 < config.patience <= state.validations_without_gain
        )

    def _is_validation_due(self) -> bool:
        """Whether the last update crossed an interval or finished the training."""
        interval = self.config.validate_every_epochs * self.steps_per_epoch
        step = self.state.schedule_step
        crossed = math.floor(step / interval + 1e-9) > math.floor(
            (step - 1) / interval + 1e-9
        )
        return crossed or self._is_finished()

    def _is_checkpoint_due(self) -> bool:
        interval = self.config.checkpoint_every_steps
        return interval > 0 and self.state.step % interval == 0

    @property
    def _epochs(self) -> float:
        """Passes over the data so far."""
        return self.state.schedule_step / self.steps_per_epoch

    def _log_metrics(self, metrics_log: MetricsLog, task: Task) -> None:
        """Report and reset the running metrics, unless there was no update."""
        state = self.state
        if not len(self._running):
            return
        metrics = self._running.compute(step=state.step)
        metrics_log.write(
            state.step,
            "train",
            {
                "epoch": round(self._epochs, 4),
                **metrics,
                "learning_rate": self.learning_rate(state.step - 1),
                "elapsed_s": state.elapsed_s,
            },
        )
        task.advance(
            0,
            loss=f"{metrics['loss_nats_per_token']:.3f}",
            speed=f"{metrics['words_per_s']:,.0f} words/s",
            epoch=f"{self._epochs:.2f}",
        )
        self._running.reset()

    def _validate(self, metrics_log: MetricsLog) -> None:
        """Validate the averaged weights, report the result and save a checkpoint."""
        state = self.state
        with self._train_step.averaged_weights():
            result = validate(
                self.model,
                self._valid,
                self.config,
                distributed=self._distributed,
                progress=self._progress,
                bleu=self._bleu,
            )
        is_best = result.better_than(state.best, self.config.best_by)
        if is_best:
            state.best, state.best_step = result, state.step
            state.validations_without_gain = 0
        else:
            state.validations_without_gain += 1
        metrics = {"perplexity": result.perplexity}
        if result.bleu is not None:
            metrics["bleu"] = result.bleu
        metrics_log.write(state.step, "valid", metrics)
        log.info(
            "epoch %.2f, step %d of %d: valid perplexity %.2f%s%s",
            self._epochs,
            state.step,
            self.total_steps,
            result.perplexity,
            "" if result.bleu is None else f", BLEU {result.bleu:.2f}",
            " (best)" if is_best else "",
        )
        state.scores[state.step] = result.rank(self.config.best_by)
        self._save(result)
        self._running.reset()

    def _save(self, validation: ValidationResult | None = None) -> None:
        """Write a checkpoint, in rank 0 alone."""
        if not self._distributed.is_main_process:
            return
        state = self.state
        kept = self._checkpoints.steps_to_keep(state.scores, state.step)
        state.scores = {s: rank for s, rank in state.scores.items() if s in kept}
        self._checkpoints.save(
            self._train_step, state, validation=validation, kept=kept
        )

"""The training loop: updates, validations, checkpoints, and going on where it stopped.

Everything that happens at a step is a function of the step, the seed and the data, so
that a run that was interrupted and resumed ends with the same bits.
"""

import logging
import math
import time
from dataclasses import asdict

from pipelines.config import TrainConfig
from pipelines.data.batching import PairIds
from pipelines.data.dataset import ParallelDataset
from pipelines.data.loader import LoadedBatch, Loader
from pipelines.distributed.process_group import AsyncAllReduceMax, DistributedContext
from pipelines.errors import DivergenceError, Interrupted
from pipelines.model.seq2seq import Seq2Seq
from pipelines.progress import Progress, Task
from pipelines.trainer.checkpoints import CheckpointManager
from pipelines.trainer.epochs import batches_of, last_step
from pipelines.trainer.metrics_log import MetricsLog
from pipelines.trainer.running_metrics import RunningMetrics
from pipelines.trainer.schedule import learning_rate
from pipelines.trainer.signals import SignalRequests, receive_signals
from pipelines.trainer.train_state import TrainState
from pipelines.trainer.train_step import TrainStep
from pipelines.trainer.validation import Bleu, Validation, validate

log = logging.getLogger(__name__)

_REPORT_EVERY_STEPS = 25


class Trainer:
    """Trains one model.

    Args:
        model: On its device, initialized.
        config: Of training.
        train: Pairs to learn from.
        valid: Pairs to validate on.
        store: Reads and writes the checkpoints.
        progress: Where to show.
        bleu: Scores a translation of the validation text, if that is wanted.
        distributed: The processes that train this model together.
    """

    def __init__(
        self,
        model: Seq2Seq,
        config: TrainConfig,
        *,
        train: ParallelDataset,
        valid: ParallelDataset,
        store: CheckpointManager,
        progress: Progress,
        bleu: Bleu | None = None,
        distributed: DistributedContext | None = None,
    ) -> None:
        self.model = model
        self.config = config
        self._train, self._valid = train, valid
        self._store, self._progress, self._bleu = store, progress, bleu
        self._distributed = distributed or DistributedContext()
        self._learner = TrainStep(model, config, self._distributed)
        self.steps_per_epoch = len(self._batches(0))
        self.position = TrainState(steps_per_epoch=self.steps_per_epoch)

    @property
    def arithmetic(self) -> dict[str, str]:
        """What the last digits of the training depend on."""
        return self._learner.arithmetic

    @property
    def total_steps(self) -> int:
        """The update after which training ends, if nothing ends it before."""
        return last_step(
            self.config,
            steps_per_epoch=self.steps_per_epoch,
            ahead=self.position.ahead,
        )

    def fit(self) -> TrainState:
        """Train until a limit, early stopping or a signal.

        Returns:
            Where training ended.

        Raises:
            Interrupted: A signal asked to stop; a checkpoint is written.
            DivergenceError: The loss or the gradient is not finite.
        """
        self._resume()
        figures = MetricsLog(
            self._store.folder if self._distributed.is_first else None,
            step=self.position.step,
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
                    self._batches,
                    device=self._learner.device,
                    rank=self._distributed.rank,
                    num_ranks=self._distributed.size,
                ) as loader,
            ):
                task.advance(self.position.step)
                if not self._finished():
                    self._window = self._new_window()
                    self._run(loader, requests, figures, task)
        except DivergenceError as error:
            figures.write(self.position.step, "diverged", {"pairs": error.numbers})
            raise
        finally:
            figures.close()
        return self.position

    def _resume(self) -> None:
        """Go on from the newest sound checkpoint, which the first process reads."""
        found = (
            self._store.resume(self._learner) if self._distributed.is_first else None
        )
        info = self._distributed.broadcast_object(found)
        if not isinstance(info, dict):
            return
        self._learner.broadcast()
        self.position = TrainState.from_info(info)
        log.info("going on from step %d of %d", self.position.step, self.total_steps)

    def _run(
        self, loader: Loader, requests: SignalRequests, figures: MetricsLog, task: Task
    ) -> None:
        position = self.position
        batches = loader.batches(position.epoch, position.batch)
        maxima = AsyncAllReduceMax(self._distributed)
        elapsed_s, stop_signal = position.elapsed_s, 0.0
        while not (stop_signal or self._finished()):
            started, waited_s = time.perf_counter(), loader.waited_s
            planned = next(batches)
            self._update(planned, loader.waited_s - waited_s)
            task.advance()
            if position.step % _REPORT_EVERY_STEPS == 0:
                self._report(figures, task)
            elapsed_s += time.perf_counter() - started
            # A signal to one process holds for all, and they share one clock.
            stop_signal, save, agreed_s = maxima.exchange(
                requests.stop_signal or 0, requests.take_save(), elapsed_s
            )
            position.elapsed_s = max(position.elapsed_s, agreed_s)
            self._validate_or_save_if_due(
                figures, task, requested=bool(save or stop_signal)
            )
        maxima.wait()
        # A signal may have come since the last exchange, as in the last validation.
        (stop_signal,) = self._distributed.all_reduce_max(requests.stop_signal or 0)
        if stop_signal:
            raise self._interrupted(int(stop_signal))

    def _update(self, planned: LoadedBatch, waited_s: float) -> None:
        position = self.position
        nll, norm = self._learner.learn(
            planned, step=position.step, rate=self.learning_rate(position.step)
        )
        position.advance(planned)
        self._window.add(planned, nll, norm, waited_s)

    def learning_rate(self, step: int) -> float:
        """The rate of the update that follows `step` updates."""
        return learning_rate(
            step + self.position.ahead,
            self.config,
            steps_per_epoch=self.steps_per_epoch,
            total_steps=self.total_steps + self.position.ahead,
        )

    def _validate_or_save_if_due(
        self, figures: MetricsLog, task: Task, *, requested: bool
    ) -> None:
        """Validate and save where that is due; else save if it is due or requested."""
        every = self.config.checkpoint_every_steps
        if self._due():
            self._report(figures, task)
            self._validate(figures)
        elif requested or (every and self.position.step % every == 0):
            self._report(figures, task)
            self._save(None)

    def _interrupted(self, signal_number: int) -> Interrupted:
        return Interrupted(
            f"stopped at step {self.position.step} of {self.total_steps}; "
            "everything is saved",
            hint="s2s train resumes from there",
            signal_number=signal_number,
        )

    @property
    def _epochs(self) -> float:
        """Passes over the data so far."""
        return (self.position.step + self.position.ahead) / self.steps_per_epoch

    def _due(self) -> bool:
        planned = self.position.step + self.position.ahead
        interval = self.config.validate_every_epochs * self.steps_per_epoch
        crossed = math.floor(planned / interval + 1e-9) > math.floor(
            (planned - 1) / interval + 1e-9
        )
        return crossed or self._finished()

    def _finished(self) -> bool:
        config, position = self.config, self.position
        stuck = config.patience and position.validations_without_gain >= config.patience
        return position.step >= self.total_steps or self._is_late() or bool(stuck)

    def _is_late(self) -> bool:
        most = self.config.max_minutes
        return bool(most) and self.position.elapsed_s >= 60 * most

    def _report(self, figures: MetricsLog, task: Task) -> None:
        position = self.position
        if not len(self._window):
            return
        found = self._window.figures(step=position.step)
        epoch = self._epochs
        figures.write(
            position.step,
            "train",
            {
                "epoch": round(epoch, 4),
                **found,
                "learning_rate": self.learning_rate(position.step - 1),
                "elapsed_s": position.elapsed_s,
            },
        )
        task.advance(
            0,
            loss=f"{found['loss_nats_per_token']:.3f}",
            speed=f"{found['words_per_s']:,.0f} words/s",
            epoch=f"{epoch:.2f}",
        )
        self._window = self._new_window()

    def _validate(self, figures: MetricsLog) -> None:
        position = self.position
        if self._learner.average is not None:
            self._learner.average.swap()
        found = validate(
            self.model,
            self._valid,
            self.config,
            distributed=self._distributed,
            progress=self._progress,
            bleu=self._bleu,
        )
        if self._learner.average is not None:
            self._learner.average.swap()
        better = found.better_than(position.best, self.config.best_by)
        if better:
            position.best, position.best_step = found, position.step
            position.validations_without_gain = 0
        else:
            position.validations_without_gain += 1
        values = {"perplexity": found.perplexity}
        if found.bleu is not None:
            values["bleu"] = found.bleu
        figures.write(position.step, "valid", values)
        log.info(
            "epoch %.2f, step %d of %d: valid perplexity %.2f%s%s",
            self._epochs,
            position.step,
            self.total_steps,
            found.perplexity,
            "" if found.bleu is None else f", BLEU {found.bleu:.2f}",
            " (best)" if better else "",
        )
        self._save(found)
        self._window = self._new_window()

    def _save(self, found: Validation | None) -> None:
        position = self.position
        if found is not None:
            by_bleu = self.config.best_by == "bleu"
            value = -(found.bleu or 0.0) if by_bleu else found.perplexity
            position.scores[position.step] = value
        if not self._distributed.is_first:
            return
        kept = self._store.keep(position.scores, position.step)
        position.scores = {s: v for s, v in position.scores.items() if s in kept}
        self._store.save(
            position.step,
            self._learner,
            position=position.to_info(),
            validation=asdict(found) if found else None,
            best_step=position.best_step,
            kept=kept,
        )

    def _batches(self, epoch: int) -> list[PairIds]:
        return batches_of(self._train, self.config, epoch=epoch)

    def _new_window(self) -> RunningMetrics:
        return RunningMetrics(self._distributed, clip_norm=self.config.clip_norm)

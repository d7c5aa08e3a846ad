"""The training loop: updates, validations, checkpoints, and going on where it stopped.

Everything that happens at a step is a function of the step, the seed and the data, so
that a run that was interrupted and resumed ends with the same bits.
"""

import logging
import math
import time
from dataclasses import asdict

import numpy as np
import torch

from pipelines.config import TrainConfig
from pipelines.data.batch import Batch, collate
from pipelines.data.batching import Indices, epoch_batches
from pipelines.data.dataset import ParallelDataset
from pipelines.errors import Interrupted
from pipelines.model.seq2seq import Seq2Seq
from pipelines.progress import Progress, Task
from pipelines.trainer.interrupt import Requests, listening
from pipelines.trainer.metrics_log import MetricsLog
from pipelines.trainer.optimizer import (
    WeightAverage,
    build_optimizer,
    clip_gradient,
)
from pipelines.trainer.position import Position
from pipelines.trainer.schedule import learning_rate
from pipelines.trainer.store import CheckpointStore
from pipelines.trainer.validation import Bleu, Validation, validate
from pipelines.trainer.window import Window

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
    """

    def __init__(
        self,
        model: Seq2Seq,
        config: TrainConfig,
        *,
        train: ParallelDataset,
        valid: ParallelDataset,
        store: CheckpointStore,
        progress: Progress,
        bleu: Bleu | None = None,
    ) -> None:
        self.model = model
        self.config = config
        self.position = Position()
        self._train, self._valid = train, valid
        self._store, self._progress, self._bleu = store, progress, bleu
        self._parameters = list(model.parameters())
        self._device = self._parameters[0].device
        self._optimizer = build_optimizer(self._parameters, config)
        self._average = (
            WeightAverage(model, decay=config.ema_decay) if config.ema_decay else None
        )
        self.steps_per_epoch = len(self._batches(0))
        self.total_steps = math.ceil(config.max_epochs * self.steps_per_epoch)
        if config.max_steps:
            self.total_steps = min(self.total_steps, config.max_steps)
        self._window = self._new_window()

    def fit(self) -> Position:
        """Train until a limit, early stopping or a signal.

        Returns:
            Where training ended.

        Raises:
            Interrupted: A signal asked to stop; a checkpoint is written.
            DivergenceError: The loss or the gradient is not finite.
        """
        info = self._store.resume(self.model, self._optimizer, self._average)
        if info is not None:
            self.position = Position.from_info(info)
            log.info("going on from step %d", self.position.step)
        figures = MetricsLog(
            self._store.folder,
            step=self.position.step,
            tensorboard=self.config.tensorboard,
        )
        self.model.train()
        try:
            with (
                listening() as requests,
                self._progress.task(
                    "train", total=self.total_steps, unit="steps"
                ) as task,
            ):
                task.advance(self.position.step)
                while not self._finished():
                    self._run_epoch(requests, figures, task)
        finally:
            figures.close()
        return self.position

    def _run_epoch(self, requests: Requests, figures: MetricsLog, task: Task) -> None:
        position = self.position
        batches = self._batches(position.epoch)
        for indices in batches[position.batch :]:
            started = time.perf_counter()
            self._update(collate(self._train, indices).to(self._device))
            task.advance()
            if position.step % _REPORT_EVERY_STEPS == 0:
                self._report(figures, task)
            position.elapsed_s += time.perf_counter() - started
            self._keep_appointments(requests, figures, task)
            if self._finished():
                return
        position.epoch += 1
        position.batch = 0

    def _update(self, batch: Batch) -> None:
        position, config = self.position, self.config
        rate = learning_rate(
            position.step,
            config,
            steps_per_epoch=self.steps_per_epoch,
            total_steps=self.total_steps,
        )
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        if self.model.config.dropout:
            torch.manual_seed(_dropout_seed(config.seed, position.step))
        with torch.autocast(
            self._device.type,
            dtype=torch.bfloat16,
            enabled=config.precision == "bf16",
        ):
            loss, nll = self.model(batch, label_smoothing=config.label_smoothing)
        per_sentence = config.loss_per == "sentence"
        divisor = batch.num_sentences if per_sentence else batch.num_tgt_tokens
        (loss / divisor).backward()
        norm = clip_gradient(self._parameters, threshold=config.clip_norm)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        position.step += 1
        position.batch += 1
        if self._average is not None:
            self._average.update(position.step)
        self._window.add(batch, nll, norm)
        position.num_words += batch.num_words

    def _keep_appointments(
        self, requests: Requests, figures: MetricsLog, task: Task
    ) -> None:
        step = self.position.step
        stop_signal = requests.stop_signal  # one that comes later waits for a step
        every = self.config.checkpoint_every_steps
        save = requests.take_save() or stop_signal is not None
        if self._due(step):
            self._report(figures, task)
            self._validate(figures)
        elif save or (every and step % every == 0):
            self._report(figures, task)
            self._save(None)
        if stop_signal is not None:
            raise Interrupted(
                f"stopped at step {step} of {self.total_steps}; everything is saved",
                hint="s2s train goes on from there",
                signal_number=stop_signal,
            )

    def _due(self, step: int) -> bool:
        interval = self.config.validate_every_epochs * self.steps_per_epoch
        crossed = math.floor(step / interval + 1e-9) > math.floor(
            (step - 1) / interval + 1e-9
        )
        return crossed or self._finished()

    def _finished(self) -> bool:
        config, position = self.config, self.position
        late = config.max_minutes and position.elapsed_s >= 60 * config.max_minutes
        stuck = config.patience and position.validations_without_gain >= config.patience
        return position.step >= self.total_steps or bool(late or stuck)

    def _report(self, figures: MetricsLog, task: Task) -> None:
        position = self.position
        if not self._window.num_steps:
            return
        found = self._window.figures(step=position.step)
        epoch = position.step / self.steps_per_epoch
        figures.write(
            position.step,
            "train",
            {
                "epoch": round(epoch, 4),
                **found,
                "learning_rate": self._optimizer.param_groups[0]["lr"],
                "elapsed_s": position.elapsed_s,
            },
        )
        task.advance(
            0,
            epoch=f"{epoch:.2f}",
            loss=f"{found['loss_nats_per_token']:.3f}",
            speed=f"{found['words_per_s']:,.0f} words/s",
        )
        self._window = self._new_window()

    def _validate(self, figures: MetricsLog) -> None:
        position = self.position
        if self._average is not None:
            self._average.swap()
        found = validate(
            self.model,
            self._valid,
            self.config,
            device=self._device,
            progress=self._progress,
            bleu=self._bleu,
        )
        if self._average is not None:
            self._average.swap()
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
            position.step / self.steps_per_epoch,
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
        kept = self._store.keep(position.scores, position.step)
        position.scores = {s: v for s, v in position.scores.items() if s in kept}
        self._store.save(
            position.step,
            self.model,
            self._optimizer,
            self._average,
            position=position.to_info(),
            validation=asdict(found) if found else None,
            best_step=position.best_step,
            kept=kept,
        )

    def _batches(self, epoch: int) -> list[Indices]:
        return epoch_batches(
            self._train.src_lengths,
            self._train.tgt_lengths,
            batch_size=self.config.batch_size,
            max_tokens=self.config.max_batch_tokens,
            seed=self.config.seed,
            epoch=epoch,
        )

    def _new_window(self) -> Window:
        return Window(self._device, clip_norm=self.config.clip_norm)


def _dropout_seed(seed: int, step: int) -> int:
    """Chance is a function of the seed and the step, so that training can resume."""
    state = np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)
    return int(state[0])

"""The checkpoints of a training: saving, resuming, and which of them are kept."""

import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipelines.artifacts.checkpoint import (
    TensorBundle,
    read_model,
    read_trainer,
    write_checkpoint,
)
from pipelines.artifacts.checkpoint_folder import (
    checkpoints,
    newest_resumable,
    point_to,
    prune,
    step_of,
)
from pipelines.artifacts.layout import BEST, CHECKPOINTS, LATEST, checkpoint_name
from pipelines.artifacts.run_record import ARITHMETIC
from pipelines.config import TrainConfig
from pipelines.model.engine.arithmetic import differences
from pipelines.trainer.optimizer import prepare_state
from pipelines.trainer.train_state import TrainState, ValidationResult
from pipelines.trainer.train_step import TrainStep

log = logging.getLogger(__name__)


class CheckpointManager:
    """Saves and restores the checkpoints of one training.

    Args:
        folder: Folder of the training.
        config: Number of checkpoints to keep.
        text: Folder of the text pipeline; each checkpoint holds a copy.
        run: Key of the training.
        model_info: The values that the model is built from.
    """

    def __init__(
        self,
        folder: Path,
        config: TrainConfig,
        *,
        text: Path,
        run: str,
        model_info: Mapping[str, Any],
    ) -> None:
        self.folder = folder
        self._config = config
        self._text = text
        self._run = run
        self._model_info = model_info

    @property
    def checkpoints(self) -> Path:
        """The folder that holds the checkpoints."""
        return self.folder / CHECKPOINTS

    def steps_to_keep(self, scores: Mapping[int, float], newest: int) -> set[int]:
        """Steps of the last N and the best N checkpoints once `newest` is saved.

        Args:
            scores: Step -> rank (lower is better) of the validated checkpoints.
            newest: The step about to be saved.
        """
        best = sorted(scores, key=lambda step: (scores[step], step))
        saved = [step_of(path) for path in checkpoints(self.checkpoints)]
        earlier = [step for step in saved if step < newest]
        last = [*earlier, newest][-self._config.keep_last :]
        return {*best[: self._config.keep_best], *last}

    def save(
        self,
        train_step: TrainStep,
        state: TrainState,
        *,
        validation: ValidationResult | None,
        kept: set[int],
    ) -> None:
        """Write a checkpoint, point to it, then delete those that are not kept.

        Args:
            train_step: Weights, optimizer state and average to save.
            state: The rest of the training's state.
            validation: Result of this checkpoint, if it was validated.
            kept: As from `steps_to_keep`.
        """
        average = train_step.average
        raw = dict(train_step.model.named_parameters())
        tensors = _optimizer_tensors(train_step.optimizer)
        weights: Mapping[str, Tensor] = raw
        if average is not None:
            tensors |= {f"raw.{name}": tensor for name, tensor in raw.items()}
            weights = dict(zip(raw, average.tensors, strict=True))
        model_info = {
            **self._model_info,
            "step": state.step,
            "validation": asdict(validation) if validation else None,
        }
        trainer_info = {**state.to_info(), ARITHMETIC: train_step.arithmetic}
        path = write_checkpoint(
            self.checkpoints,
            state.step,
            model=TensorBundle(weights, model_info),
            trainer=TensorBundle(tensors, trainer_info),
            text=self._text,
            run=self._run,
        )
        self._write_pointers(path, state.best_step)
        prune(self.checkpoints, [checkpoint_name(step) for step in kept])

    def resume(self, train_step: TrainStep) -> TrainState | None:
        """Load weights, optimizer state and average of the newest sound checkpoint.

        Returns:
            The rest of the saved state, or None before the first checkpoint.

        Raises:
            CorruptArtifactError: There are checkpoints, and none is sound.
        """
        path = newest_resumable(self.checkpoints)
        if path is None:
            return None
        weights = read_model(path).tensors
        trainer = read_trainer(path)
        _load_optimizer(train_step.optimizer, trainer.tensors)
        model, average = train_step.model, train_step.average
        names = [name for name, _ in model.named_parameters()]
        with torch.no_grad():
            if average is not None:
                for tensor, name in zip(average.tensors, names, strict=True):
                    tensor.copy_(weights[name])
                weights = {name: trainer.tensors[f"raw.{name}"] for name in names}
            for name, parameter in model.named_parameters():
                parameter.copy_(weights[name])
        state = TrainState.from_info(trainer.info)
        self._write_pointers(path, state.best_step)
        _warn_of_other_arithmetic(trainer.info.get(ARITHMETIC), train_step.arithmetic)
        return state

    def _write_pointers(self, path: Path, best_step: int) -> None:
        """Let `latest.json` name `path` and `best.json` the best checkpoint.

        Called on resuming too: a kill may have come between writing a checkpoint and
        pointing to it.
        """
        point_to(path, LATEST)
        best = self.checkpoints / checkpoint_name(best_step)
        if best_step and best in checkpoints(self.checkpoints):
            point_to(best, BEST)


def _warn_of_other_arithmetic(
    before: Mapping[str, str] | None, now: Mapping[str, str]
) -> None:
    """Warn where a resumed training will not be equal to the last bit."""
    changed = differences(before or now, now)
    if changed:
        log.warning(
            "resuming with other arithmetic (%s): the last digits will differ",
            ", ".join(changed),
        )


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    return {
        f"optimizer.{index}.{name}": value
        for index, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
        if isinstance(value, Tensor)
    }


def _load_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]
) -> None:
    state_dict = optimizer.state_dict()
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        kind, _, rest = key.partition(".")
        if kind == "optimizer":
            index, _, name = rest.partition(".")
            state.setdefault(int(index), {})[name] = value
    if not state:  # a fork changed the optimizer
        prepare_state(optimizer)
        return
    state_dict["state"] = state
    optimizer.load_state_dict(state_dict)

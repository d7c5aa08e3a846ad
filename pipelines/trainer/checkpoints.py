"""Which checkpoints there are: saving, resuming, and how many are kept."""

import logging
from collections.abc import Mapping
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
from pipelines.trainer.train_step import TrainStep

log = logging.getLogger(__name__)


class CheckpointManager:
    """The checkpoints of one training run.

    Args:
        folder: Of the run.
        config: How many are kept.
        text: Folder of the text pipeline; a copy goes into each checkpoint.
        run: Fingerprint of the run.
        model_info: What is needed to build the model again.
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
        """The folder that holds them."""
        return self.folder / CHECKPOINTS

    def keep(self, scores: Mapping[int, float], newest: int) -> set[int]:
        """Steps to keep once `newest` is there: the last N and the best N.

        Args:
            scores: Step -> rank (lower is better) of the validated checkpoints.
            newest: The step about to be saved.
        """
        best = sorted(scores, key=lambda step: (scores[step], step))
        there = [step_of(path) for path in checkpoints(self.checkpoints)]
        before = [step for step in there if step < newest]
        last = [*before, newest][-self._config.keep_last :]
        return {*best[: self._config.keep_best], *last}

    def save(
        self,
        step: int,
        learner: TrainStep,
        *,
        position: Mapping[str, Any],
        validation: Mapping[str, Any] | None,
        best_step: int,
        kept: set[int],
    ) -> None:
        """Write a checkpoint, point to it, then delete those that are not kept."""
        average = learner.average
        raw = dict(learner.model.named_parameters())
        tensors = _optimizer_tensors(learner.optimizer)
        weights: Mapping[str, Tensor] = raw
        if average is not None:
            tensors |= {f"raw.{name}": tensor for name, tensor in raw.items()}
            weights = dict(zip(raw, average.tensors, strict=True))
        info = {**self._model_info, "step": step, "validation": validation}
        path = write_checkpoint(
            self.checkpoints,
            step,
            model=TensorBundle(weights, info),
            trainer=TensorBundle(tensors, {**position, ARITHMETIC: learner.arithmetic}),
            text=self._text,
            run=self._run,
        )
        self._point(path, best_step)
        prune(self.checkpoints, [checkpoint_name(number) for number in kept])

    def resume(self, learner: TrainStep) -> dict[str, Any] | None:
        """Load the newest sound checkpoint into a learner.

        Returns:
            The position as saved, or None where there is no checkpoint.

        Raises:
            CorruptArtifactError: There are checkpoints, and none is sound.
        """
        path = newest_resumable(self.checkpoints)
        if path is None:
            return None
        weights = read_model(path).tensors
        trainer = read_trainer(path)
        _load_optimizer(learner.optimizer, trainer.tensors)
        model, average = learner.model, learner.average
        names = [name for name, _ in model.named_parameters()]
        with torch.no_grad():
            if average is not None:
                for tensor, name in zip(average.tensors, names, strict=True):
                    tensor.copy_(weights[name])
                weights = {name: trainer.tensors[f"raw.{name}"] for name in names}
            for name, parameter in model.named_parameters():
                parameter.copy_(weights[name])
        self._point(path, trainer.info["best_step"])
        _compare(trainer.info.get(ARITHMETIC), learner.arithmetic)
        return dict(trainer.info)

    def _point(self, path: Path, best_step: int) -> None:
        """Name the newest checkpoint and the best.

        Again when training goes on: it may have been killed between writing a
        checkpoint, perhaps its last, and pointing to it.
        """
        point_to(path, LATEST)
        best = self.checkpoints / checkpoint_name(best_step)
        if best_step and best in checkpoints(self.checkpoints):
            point_to(best, BEST)


def _compare(before: Mapping[str, str] | None, now: Mapping[str, str]) -> None:
    """Say where a resumed training will not compute the bits that it would have."""
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
    content = optimizer.state_dict()
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        kind, _, rest = key.partition(".")
        if kind == "optimizer":
            index, _, name = rest.partition(".")
            state.setdefault(int(index), {})[name] = value
    if not state:  # of a fork that changed the optimizer
        prepare_state(optimizer)
        return
    content["state"] = state
    optimizer.load_state_dict(content)

"""Loading of checkpoints for inference: models, text pipeline, device."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from pipelines.artifacts.checkpoint import TensorBundle
from pipelines.artifacts.files import sha256_bytes
from pipelines.artifacts.layout import MODEL, TEXT
from pipelines.artifacts.manifest import read_manifest
from pipelines.artifacts.model_path import read_named
from pipelines.config import TranslateConfig
from pipelines.errors import UsageError
from pipelines.model.engine.arithmetic import describe_arithmetic
from pipelines.model.engine.device import choose_device, keep_freed_memory, use_threads
from pipelines.model.engine.packed_linear import choose_linear
from pipelines.model.inference import InferenceSeq2Seq
from pipelines.model.seq2seq import build_model
from pipelines.search.ensemble import Ensemble
from pipelines.text.pipeline import TextPipeline
from pipelines.wording import plural

_UNKNOWN_RATIO = 2.0
"""Target tokens for each source token if the checkpoint does not record it."""


@dataclass(frozen=True, slots=True)
class LoadedEnsemble:
    """One model or an ensemble, ready to translate and to score."""

    ensemble: Ensemble
    pipeline: TextPipeline
    """Text rules, the same for all models."""
    device: torch.device
    length_ratio: float = _UNKNOWN_RATIO
    """Target tokens for each source token, as the training pairs suggest."""
    names: tuple[str, ...] = ()
    """Names of the checkpoints."""
    arithmetic: Mapping[str, str] = field(default_factory=dict)
    """Device, precision and libraries, on which the last digits of a score depend."""
    identity: str = ""
    """Hash of the models' weights, their ensemble weights and the text rules."""


def load_ensemble(
    paths: Sequence[Path],
    config: TranslateConfig,
    *,
    weights: Sequence[float] = (),
) -> LoadedEnsemble:
    """Load one model or an ensemble.

    Args:
        paths: Checkpoints, or projects, whose best checkpoints are taken.
        config: Device, threads, precision, and what an ensemble averages.
        weights: One for each model; equal by default.

    Raises:
        ArtifactError: A checkpoint is missing or damaged.
        UsageError: The text rules differ, the weights are not one positive number for
            each model, or the device is missing or lacks the precision.
    """
    _check_weights(weights, len(paths))
    use_threads(config.threads)
    keep_freed_memory()
    device = choose_device(config.device)
    linears = choose_linear(config.precision, device)
    models: list[InferenceSeq2Seq] = []
    ratios: list[float] = []
    members: list[_Member] = []
    for path in paths:
        member, bundle = read_named(path, _read_member)
        members.append(member)
        _require_same_text(member, members[0])
        info = bundle.info
        model = build_model(info, bundle.tensors)
        models.append(InferenceSeq2Seq(model, linears, device=device))
        ratios.append(float(info.get("length_ratio", _UNKNOWN_RATIO)))
    hashes = [member.weights_sha256 for member in members]
    content = [hashes, list(weights), members[0].pipeline.content_hashes()]
    return LoadedEnsemble(
        ensemble=Ensemble(models, weights=weights, mean=config.ensemble),
        pipeline=members[0].pipeline,
        device=device,
        length_ratio=max(ratios),
        names=tuple(member.path.name for member in members),
        arithmetic=describe_arithmetic(str(linears), device),
        identity=sha256_bytes(json.dumps(content).encode()),
    )


def _check_weights(weights: Sequence[float], num_models: int) -> None:
    if weights and len(weights) != num_models:
        raise UsageError(
            f"{plural(num_models, 'model')}, {plural(len(weights), 'weight')}",
            hint="--model-weight once for each --model, in the same order",
        )
    if not all(0 < weight < math.inf for weight in weights):
        raise UsageError(f"weights {list(weights)}: expected positive numbers")


@dataclass(frozen=True, slots=True)
class _Member:
    """The checkpoint of one model of an ensemble, without its tensors."""

    path: Path
    weights_sha256: str
    pipeline: TextPipeline


def _read_member(path: Path, model: TensorBundle) -> tuple[_Member, TensorBundle]:
    sha256 = read_manifest(path).outputs[MODEL].sha256
    return _Member(path, sha256, TextPipeline.load(path / TEXT)), model


def _require_same_text(member: _Member, first: _Member) -> None:
    """Compare the text rules and vocabularies of two models."""
    if differing := member.pipeline.differences(first.pipeline):
        raise UsageError(
            f"{member.path} and {first.path} cannot vote together: they differ in "
            f"{', '.join(differing)} of their folders {TEXT}/",
            hint="the models of an ensemble must be trained from one preprocess folder",
        )

"""From checkpoints on disk to what answers: models, text rules, device."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from pipelines.artifacts.checkpoint import TensorBundle
from pipelines.artifacts.files import sha256_bytes
from pipelines.artifacts.layout import MODEL, PIPELINE, TEXT
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
"""Longest output for each source token where a checkpoint does not say."""


@dataclass(frozen=True, slots=True)
class LoadedEnsemble:
    """One model or an ensemble, ready to translate and to score."""

    ensemble: Ensemble
    pipeline: TextPipeline
    """The text rules all of them were trained with."""
    device: torch.device
    length_ratio: float = _UNKNOWN_RATIO
    """Target tokens for each source token that the training pairs suggest."""
    names: tuple[str, ...] = ()
    """Of the checkpoints."""
    arithmetic: Mapping[str, str] = field(default_factory=dict)
    """What the last digits of a score depend on."""
    identity: str = ""
    """Hash of all weights and text rules, and of each model's share of the vote."""


def load_ensemble(
    paths: Sequence[Path],
    config: TranslateConfig,
    *,
    weights: Sequence[float] = (),
) -> LoadedEnsemble:
    """Load models.

    Args:
        paths: Checkpoints, or projects, whose best ones are taken.
        config: Device, threads, precision, and what an ensemble averages.
        weights: One for each model; equal by default.

    Raises:
        ArtifactError: One is missing or damaged.
        UsageError: Their text rules differ, the weights are not one positive
            number for each, or the device is not there or lacks the precision.
    """
    _check_weights(weights, len(paths))
    use_threads(config.threads)
    keep_freed_memory()
    device = choose_device(config.device)
    linears = choose_linear(config.precision, device)
    models: list[InferenceSeq2Seq] = []
    ratios: list[float] = []
    found: list[_Checkpoint] = []
    for path in paths:
        checkpoint, part = read_named(path, _read_checkpoint)
        found.append(checkpoint)
        _require_same_text(checkpoint, found[0])
        model = build_model(part.info, part.tensors)
        models.append(InferenceSeq2Seq(model, linears, device=device))
        ratios.append(float(part.info.get("length_ratio", _UNKNOWN_RATIO)))
    hashes = [checkpoint.sha256 for checkpoint in found]
    content = [hashes, list(weights), found[0].text]
    return LoadedEnsemble(
        Ensemble(models, weights=weights, mean=config.ensemble),
        found[0].pipeline,
        device,
        max(ratios),
        tuple(checkpoint.path.name for checkpoint in found),
        describe_arithmetic(str(linears), device),
        sha256_bytes(json.dumps(content).encode()),
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
class _Checkpoint:
    """What a checkpoint holds besides its model."""

    path: Path
    pipeline: TextPipeline
    text: str
    """The file that describes the pipeline."""
    sha256: str
    """Hash of the weights."""


def _read_checkpoint(
    path: Path, model: TensorBundle
) -> tuple[_Checkpoint, TensorBundle]:
    text = path / TEXT
    described = (text / PIPELINE).read_bytes().decode()
    sha256 = read_manifest(path).outputs[MODEL].sha256
    return _Checkpoint(path, TextPipeline.load(text), described, sha256), model


def _require_same_text(member: _Checkpoint, first: _Checkpoint) -> None:
    """Compare the hashes that both record of their text rules and vocabularies."""
    own, expected = json.loads(member.text), json.loads(first.text)
    if own["sha256"] == expected["sha256"]:
        return
    parts = {"settings": (own["settings"], expected["settings"])}
    names = {*own["files"], *expected["files"]}
    parts |= {
        name: (own["files"].get(name), expected["files"].get(name)) for name in names
    }
    other = sorted(name for name, (a, b) in parts.items() if a != b)
    raise UsageError(
        f"{member.path} and {first.path} cannot vote together: they differ in "
        f"{', '.join(other)} of their folders {TEXT}/",
        hint="members of an ensemble are trained from one preprocess folder",
    )

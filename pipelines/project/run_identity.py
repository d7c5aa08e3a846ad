"""What makes two trainings the same run, and which settings may change within one.

A training is resumed in its folder as long as its run stays the same. A finished one is
extended when a limit rises.
"""

from collections.abc import Mapping
from typing import Any

from pipelines.artifacts.manifest import fingerprint

MINOR_LIMITS = frozenset(
    {"train.patience", "train.max_minutes", "train.keep_last", "train.keep_best"}
)
"""Settings that may change when a training is resumed."""
LIMITS = MINOR_LIMITS | {"train.max_epochs", "train.max_steps"}
"""Settings that may rise when a finished training is extended."""
BATCHING = frozenset({"train.batch_size", "train.max_batch_tokens", "train.seed"})
"""Settings of training that decide which pairs are in which batch."""
SHAPELESS = frozenset({"model.dropout", "model.init_range"})
"""Settings of the model on which no weight's shape depends."""


def run_key(settings: Mapping[str, Any], inputs: Mapping[str, str]) -> str:
    """Name of the run that these settings and inputs make."""
    free = free_settings(settings)
    fixed = {name: value for name, value in settings.items() if name not in free}
    return fingerprint("run", fixed, inputs)[:12]


def free_settings(settings: Mapping[str, Any]) -> frozenset[str]:
    """Names of the settings that may change within a run.

    With the schedule `cosine` the learning rate depends on the length of the training.
    """
    return MINOR_LIMITS if settings.get("train.schedule") == "cosine" else LIMITS

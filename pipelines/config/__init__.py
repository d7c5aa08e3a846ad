"""Settings: a pydantic model for each section, and where their values come from."""

from pipelines.config.load import load, recipe_names
from pipelines.config.schema import (
    Config,
    DataConfig,
    ModelConfig,
    PreprocessConfig,
    ScoreConfig,
    TrainConfig,
    TranslateConfig,
)
from pipelines.config.template import init_text

__all__ = [
    "Config",
    "DataConfig",
    "ModelConfig",
    "PreprocessConfig",
    "ScoreConfig",
    "TrainConfig",
    "TranslateConfig",
    "init_text",
    "load",
    "recipe_names",
]

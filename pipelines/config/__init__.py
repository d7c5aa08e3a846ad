"""Settings: a pydantic model for each section, and where their values come from."""

from pipelines.config.load import init_text, load, recipe_names
from pipelines.config.schema import (
    Config,
    DataConfig,
    ModelConfig,
    PreprocessConfig,
    ScoreConfig,
    TrainConfig,
    TranslateConfig,
)

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

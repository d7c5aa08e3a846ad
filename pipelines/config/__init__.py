"""Settings: the schema of `s2s.toml`, and the layers that values come from."""

from pipelines.config.load import load, recipe_names
from pipelines.config.preprocess import PreprocessConfig
from pipelines.config.schema import (
    Config,
    DataConfig,
    ModelConfig,
    ScoreConfig,
    TranslateConfig,
)
from pipelines.config.template import init_config, init_text
from pipelines.config.train import TrainConfig

__all__ = [
    "Config",
    "DataConfig",
    "ModelConfig",
    "PreprocessConfig",
    "ScoreConfig",
    "TrainConfig",
    "TranslateConfig",
    "init_config",
    "init_text",
    "load",
    "recipe_names",
]

"""The training stage, called as from Python."""

import logging

import pytest

from pipelines import binarize, preprocess, train
from pipelines.artifacts.layout import BEST, CHECKPOINTS, LATEST, METRICS, RUN
from pipelines.artifacts.manifest import read_manifest
from pipelines.artifacts.run_record import read_record
from pipelines.config import ModelConfig, TrainConfig
from pipelines.errors import ArtifactError
from tests.small_corpus import make_project

TRAINING = TrainConfig(precision="fp32", device="cpu", threads=1, batch_size=4)


@pytest.fixture
def make_ready(tmp_path):
    """Make a project up to its shards."""

    def make(**settings):
        config, layout = make_project(tmp_path, min_count=1)
        update = {
            "model": ModelConfig(layers=1, cells=8, embedding_size=8),
            "train": TRAINING.model_copy(update=settings),
        }
        config = config.model_copy(update=update)
        preprocess.run(config, layout)
        binarize.run(config, layout)
        return config, layout

    return make


def test_the_folder_and_the_manifest_say_what_was_trained(make_ready, caplog):
    config, layout = make_ready(max_steps=4, validate_every_epochs=1)
    with caplog.at_level(logging.INFO):
        manifest = train.run(config, layout)
    assert manifest == read_manifest(layout.train)
    assert manifest.counts["steps"] == 4
    assert manifest.counts["valid_bleu"] is None
    assert manifest.counts["valid_perplexity"] > 1
    record = read_record(layout.train)
    assert record is not None
    assert record.arithmetic.items() <= manifest.environment.items()
    assert record.arithmetic["precision"] == "fp32"
    names = {path.name for path in layout.train.iterdir()}
    assert names >= {BEST, CHECKPOINTS, LATEST, METRICS, RUN}
    assert "trained 4 steps" in caplog.text


def test_validation_bleu_is_part_of_the_result(make_ready):
    manifest = train.run(*make_ready(max_steps=2, valid_bleu=True))
    assert 0 <= manifest.counts["valid_bleu"] <= 100


def test_shards_of_another_vocabulary_are_refused(make_ready):
    config, layout = make_ready(max_steps=2)
    other = config.preprocess.model_copy(update={"lowercase": True})
    preprocess.run(config.model_copy(update={"preprocess": other}), layout)
    with pytest.raises(ArtifactError, match="vocabular"):
        train.run(config, layout)

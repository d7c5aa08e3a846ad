import numpy as np
import pytest

from pipelines.artifacts.layout import Layout
from pipelines.config import TrainConfig
from pipelines.estimate import trial
from pipelines.estimate.data import TrainingData
from pipelines.estimate.training import estimate, estimate_epoch, quick_estimate
from pipelines.model.engine import device as devices
from pipelines.model.seq2seq import Seq2Seq
from pipelines.trainer.train_step import TrainStep
from tests.estimate.tiny import TEXT, paper, small


def test_the_paper_recipe_before_there_is_any_text(tmp_path):
    result = quick_estimate(paper(tmp_path), Layout(tmp_path), most_bytes=0)
    parts = result.parameters
    assert parts.source_embedding == 160_000_000
    assert parts.target_embedding == parts.output == 80_000_000
    assert parts.encoder == parts.decoder == 32_000_000
    assert (parts.recurrent, parts.without_biases) == (64_000_000, 384_000_000)
    assert (parts.peephole, parts.bias) == (24_000, 112_000)
    assert parts.total == 384_136_000
    epoch = result.epoch
    assert (epoch.basis, epoch.reason) == ("nothing", "data.train is not set")
    assert (epoch.pairs, epoch.updates) == (12_000_000, 2 * 46_875)
    assert epoch.words == 304_000_000 + 348_000_000 + 24_000_000
    assert epoch.total_updates == 703_125
    assert result.rate_changes[1].after_updates == 468_750
    assert result.disk.checkpoint_bytes == 4 * 384_136_000
    assert result.disk.num_checkpoints == 4
    assert result.speed is None
    assert result.memory.weights_bytes == 4 * 384_136_000
    assert result.memory.workspace_bytes == result.memory.measured_words == 0
    assert "--dry-run" in result.not_measured


def test_a_quick_estimate_makes_no_train_step(tmp_path, monkeypatch):
    def learn(*args, **kwargs):
        raise AssertionError

    monkeypatch.setattr(TrainStep, "__call__", learn)
    result = quick_estimate(small(tmp_path, TEXT), Layout(tmp_path), most_bytes=1000)
    assert result.memory.gradients_bytes > 0
    with pytest.raises(AssertionError):
        estimate(tiny_project(tmp_path), Layout(tmp_path))


def test_max_steps_shortens_the_training():
    lengths = np.full(100, 5, dtype=np.int64)
    data = TrainingData("shards", "", lengths, lengths, (9, 9))
    result = estimate_epoch(data, 10, TrainConfig(max_epochs=7.5, max_steps=15))
    assert (result.total_updates, result.epochs, result.total_words) == (15, 1.5, 1500)


def test_there_is_no_trial_if_the_weights_alone_need_more_memory_than_is_free(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(devices, "_available_bytes", lambda: 1000)
    result = estimate(small(tmp_path, TEXT), Layout(tmp_path))
    assert result.speed is None
    assert "memory" in result.not_measured
    assert not result.memory.fits


def tiny_project(folder, **train):
    """A project with a tiny model."""
    config = small(folder, TEXT)
    model = {"layers": 1, "cells": 8, "embedding_size": 8}
    return config.model_copy(
        update={
            "model": config.model.model_copy(update=model),
            "train": TrainConfig(**train),
        }
    )


def test_an_update_that_runs_out_of_memory_is_reported(tmp_path, monkeypatch):
    def forward(*args, **kwargs):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(Seq2Seq, "forward", forward)
    result = estimate(tiny_project(tmp_path), Layout(tmp_path))
    assert result.not_measured == "an update of 1 pair ran out of memory"
    assert result.speed is None
    assert result.memory.workspace_bytes == 0


def test_a_small_model_is_timed_with_whole_batches(tmp_path, monkeypatch):
    monkeypatch.setattr(trial, "_WHOLE_BATCHES_S", 0.05)
    config = tiny_project(tmp_path, ema_decay=0.9, max_minutes=1e-6)
    result = estimate(config, Layout(tmp_path))
    assert result.memory.workspace_bytes > 0
    assert result.memory.measured_words == result.memory.batch_words == 24
    assert result.speed is not None
    assert result.speed.trial_pairs == 3
    assert result.speed.words_per_s == pytest.approx(24 / result.speed.update_s)
    assert result.speed.training_s == pytest.approx(6e-5)  # max_minutes ends it

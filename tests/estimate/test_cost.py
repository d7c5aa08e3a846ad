"""The cost of a training as it is logged before it starts."""

from dataclasses import replace

import pytest
import torch

from pipelines.artifacts.checkpoint import read_model
from pipelines.artifacts.checkpoint_folder import checkpoints
from pipelines.artifacts.layout import Layout
from pipelines.config import Config
from pipelines.estimate import cost
from pipelines.estimate.training import Speed, quick_estimate
from pipelines.trainer.train_state import TrainState
from tests.cli.conftest import init_arguments, s2s, write_corpus

__all__ = ["s2s"]  # a fixture


@pytest.fixture
def estimated(tmp_path):
    """The paper's system and data, as if a trial had timed it."""
    config = Config()
    estimate = quick_estimate(config, Layout(tmp_path), most_bytes=0)
    return config, replace(estimate, speed=Speed(1, 1, 1.0, 1.0, 0.5, 1.0))


def limited(config, **limits):
    train = config.train.model_copy(update=limits)
    return config.model_copy(update={"train": train})


def test_a_resumed_training_costs_its_remaining_updates(estimated):
    config, estimate = estimated
    total = estimate.epoch.total_updates
    whole = cost.describe_cost(estimate, config, None)
    assert f"{total:,} updates in all" in whole
    assert "about 97.7 hours" in whole
    state = TrainState(step=total - 200)
    rest = cost.describe_cost(estimate, config, state)
    assert f"200 updates left after step {total - 200:,}" in rest
    assert "about 2 min" in rest
    assert cost.may_be_long(estimate, total)
    assert not cost.may_be_long(estimate, 1)


def test_a_limit_in_minutes_counts_the_time_already_spent(estimated):
    config, estimate = estimated
    config = limited(config, max_minutes=60)
    assert "about 60 min" in cost.describe_cost(estimate, config, None)
    state = TrainState(step=100, elapsed_s=2400)
    assert "about 20 min" in cost.describe_cost(estimate, config, state)
    state = TrainState(step=100, elapsed_s=3700)
    assert "about 0 s" in cost.describe_cost(estimate, config, state)


def test_a_trial_changes_no_bit_of_the_training(s2s, tmp_path, monkeypatch):
    data, weights = write_corpus(tmp_path / "data"), []
    settings = ("train.max_epochs=1", "train.threads=1", "model.dropout=0.2")
    for name, long_s in (("plain", float("inf")), ("tried", -1.0)):
        monkeypatch.setattr(cost, "_LONG_S", long_s)
        project = tmp_path / name
        s2s(*init_arguments(data, project, *settings))
        result = s2s("train", "-d", project)
        assert result.status == 0
        assert ("trying a few updates" in result.err) == (name == "tried")
        assert ("about " in result.err) == (name == "tried")
        newest = checkpoints(project / "train" / "checkpoints")[-1]
        weights.append(read_model(newest).tensors)
    plain, tried = weights
    assert all(torch.equal(plain[key], tried[key]) for key in plain)

"""A training that is killed at any moment and resumed ends with the same bits."""

import random
import shutil

import pytest

from tests.cli.conftest import init_arguments, write_corpus
from tests.cli.train_process import (
    assert_same,
    final_state,
    newest_step,
    survive,
)

TINY = (
    "train.threads=1",
    "train.checkpoint_every_steps=7",
    "train.validate_every_epochs=0.9",  # never at the end of an epoch
    "train.schedule=halving",
    "train.halve_after_epochs=2",
)
EVERYTHING = ("model.dropout=0.2", "train.ema_decay=0.9")
PLAIN = (
    "train.optimizer=sgd",
    "train.learning_rate=0.5",
    "train.ema_decay=0",
)


@pytest.fixture
def twins(s2s, tmp_path):
    """Make two equal projects that are ready to train."""

    def make(*settings):
        data = write_corpus(tmp_path / "data")
        whole, killed = tmp_path / "whole", tmp_path / "killed"
        s2s(*init_arguments(data, whole, *TINY, *settings))
        assert s2s("binarize", "-q", "-d", whole).status == 0
        shutil.copytree(whole, killed)
        return whole, killed

    return make


def compare(s2s, projects, *, kills, seed):
    whole, killed = projects
    assert s2s("train", "-q", "-d", whole).status == 0
    landed = survive(killed, kills=kills, generator=random.Random(seed))
    assert newest_step(killed) == newest_step(whole)
    assert_same(final_state(killed), final_state(whole))
    assert landed.total() == kills
    return landed


@pytest.mark.slow
@pytest.mark.parametrize("settings", [EVERYTHING, PLAIN], ids=["everything", "plain"])
def test_a_training_that_was_killed_ends_with_the_same_bits(s2s, twins, settings):
    compare(s2s, twins(*settings, "train.max_epochs=2"), kills=2, seed=1)


@pytest.mark.learning
def test_a_training_that_was_killed_25_times_ends_with_the_same_bits(
    s2s, twins, capsys
):
    projects = twins(*EVERYTHING, "train.max_epochs=12")
    landed = compare(s2s, projects, kills=25, seed=2)
    with capsys.disabled():
        print(f"\n25 kills: {dict(landed)}")  # noqa: T201 # worth reading
    assert landed["writing"] >= 3
    assert landed["between"] >= 3

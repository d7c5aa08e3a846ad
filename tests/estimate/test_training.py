import gzip

import numpy as np
import pytest

from pipelines.artifacts.layout import Layout
from pipelines.config import Config, DataConfig, PreprocessConfig, TrainConfig, load
from pipelines.errors import CorpusError
from pipelines.estimate import trial
from pipelines.estimate.data import ExpectedData, expect_data
from pipelines.estimate.training import estimate, expected_epoch, quick_estimate
from pipelines.estimate.trial import Step, Trial, TrialTrainer, run_trial
from pipelines.model.engine import device as devices
from pipelines.model.seq2seq import Seq2Seq
from pipelines.tools.init import run as make_project
from pipelines.trainer.train_step import TrainStep


def paper(folder, **values):
    make_project(folder, "paper", values, force=False)
    return load(folder).config


def test_the_paper_recipe_before_there_is_any_text(tmp_path):
    found = quick_estimate(paper(tmp_path), Layout(tmp_path), most_bytes=0)
    parts = found.parameters
    assert parts.source_embedding == 160_000_000
    assert parts.target_embedding == parts.output == 80_000_000
    assert parts.encoder == parts.decoder == 32_000_000
    assert (parts.recurrent, parts.without_biases) == (64_000_000, 384_000_000)
    assert (parts.peephole, parts.bias) == (24_000, 112_000)
    assert parts.total == 384_136_000
    epoch = found.epoch
    assert (epoch.basis, epoch.reason) == ("nothing", "data.train is not set")
    assert (epoch.pairs, epoch.updates) == (12_000_000, 2 * 46_875)
    assert epoch.words == 304_000_000 + 348_000_000 + 24_000_000
    assert epoch.total_updates == 703_125
    assert found.rate_changes[1].after_updates == 468_750
    assert found.disk.checkpoint_bytes == 4 * 384_136_000
    assert found.disk.num_checkpoints == 4
    assert found.speed is None
    assert found.memory.weights_bytes == 4 * 384_136_000
    assert found.memory.workspace_bytes == found.memory.measured_words == 0
    assert "--dry-run" in found.not_measured


def test_a_quick_estimate_runs_nothing(tmp_path, monkeypatch):
    def learn(*args, **kwargs):
        raise AssertionError

    monkeypatch.setattr(TrainStep, "__call__", learn)
    found = quick_estimate(small(tmp_path, TEXT), Layout(tmp_path), most_bytes=1000)
    assert found.memory.gradients_bytes > 0
    with pytest.raises(AssertionError):
        estimate(tiny(tmp_path), Layout(tmp_path))


def small(folder, text, **preprocess):
    for side, lines in zip(("src", "tgt"), text, strict=True):
        (folder / side).write_text("".join(f"{line}\n" for line in lines))
    return Config(
        data=DataConfig(train=("src", "tgt")),
        preprocess=PreprocessConfig(tokenizer="none", **preprocess),
    )


TEXT = (["a b c", "", "A  b", "a"], ["x y", "x", "z", "x " * 9])


def test_text_is_counted_by_lines_and_blanks(tmp_path):
    found = expect_data(small(tmp_path, TEXT), Layout(tmp_path))
    assert found.basis == "text"
    assert found.src_lengths.tolist() == [4, 3, 2]  # blank pairs go; EOS counts
    assert found.tgt_lengths.tolist() == [3, 2, 10]
    assert found.vocab_sizes == (4 + 3, 3 + 3)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"max_ratio": 2.0}, [4, 3]),
        ({"max_length": 2}, [3]),
        ({"lowercase": True}, [4, 3, 2]),
    ],
)
def test_text_is_filtered_as_preprocessing_will(tmp_path, settings, expected):
    found = expect_data(small(tmp_path, TEXT, **settings), Layout(tmp_path))
    assert found.src_lengths.tolist() == expected


def test_vocabularies_are_never_larger_than_the_settings_say(tmp_path):
    config = small(tmp_path, TEXT, source_vocab_size=5, target_vocab_size=4)
    assert expect_data(config, Layout(tmp_path)).vocab_sizes == (5, 4)


def test_characters_are_counted_for_that_tokenizer(tmp_path):
    config = small(tmp_path, (["ab é", "b"], ["x", "y"]))
    settings = config.preprocess.model_copy(
        update={"tokenizer": "characters", "lowercase": True}
    )
    config = config.model_copy(update={"preprocess": settings})
    found = expect_data(config, Layout(tmp_path))
    assert found.src_lengths.tolist() == [5, 2]
    assert found.vocab_sizes == (4 + 3, 2 + 3)


def test_pieces_are_as_many_as_the_settings_say(tmp_path):
    config = small(tmp_path, TEXT)
    settings = config.preprocess.model_copy(
        update={"tokenizer": "sentencepiece", "sentencepiece_vocab_size": 100}
    )
    config = config.model_copy(update={"preprocess": settings})
    assert expect_data(config, Layout(tmp_path)).vocab_sizes == (103, 103)


def with_settings(config, **update):
    settings = config.preprocess.model_copy(update=update)
    return config.model_copy(update={"preprocess": settings})


def test_each_side_is_counted_for_its_tokenizer(tmp_path):
    config = small(tmp_path, (["ab cd", "b"], ["x y", "y"]))
    config = with_settings(config, source_tokenizer="characters")
    found = expect_data(config, Layout(tmp_path))
    assert found.src_lengths.tolist() == [6, 2]
    assert found.tgt_lengths.tolist() == [3, 2]
    assert found.vocab_sizes == (5 + 3, 2 + 3)


@pytest.mark.parametrize(
    ("update", "sizes"),
    [
        ({}, (2 + 3, 2 + 3)),
        ({"share_vocab": True}, (3 + 3, 3 + 3)),
        ({"share_vocab": True, "source_vocab_size": 5}, (5, 5)),
        ({"source_vocab": "own"}, (4 + 3, 2 + 3)),
        ({"target_vocab": "own"}, (2 + 3, 4 + 3)),
        ({"source_vocab": "own", "share_vocab": True}, (4 + 3, 4 + 3)),
        (
            {"target_tokenizer": "sentencepiece", "sentencepiece_vocab_size": 9},
            (2 + 3, 9 + 3),
        ),
    ],
)
def test_shared_and_own_vocabularies_have_their_size(tmp_path, update, sizes):
    (tmp_path / "own").write_text("a\nb\nc\nd\n")
    config = with_settings(small(tmp_path, (["a b", "b"], ["b x", "b"])), **update)
    assert expect_data(config, Layout(tmp_path)).vocab_sizes == sizes


def test_a_shared_vocabulary_is_one_size_before_there_is_any_text(tmp_path):
    config = paper(tmp_path, **{"preprocess.share_vocab": True})
    found = expect_data(config, Layout(tmp_path))
    assert found.vocab_sizes == (160_000, 160_000)


def test_packed_text_is_read_too(tmp_path):
    config = small(tmp_path, TEXT)
    packed = gzip.compress((tmp_path / "src").read_bytes())
    (tmp_path / "src.gz").write_bytes(packed)
    config = config.model_copy(update={"data": DataConfig(train=("src.gz", "tgt"))})
    assert expect_data(config, Layout(tmp_path)).src_lengths.tolist() == [4, 3, 2]


def test_text_that_is_not_there_yet_is_said(tmp_path):
    config = small(tmp_path, TEXT)
    (tmp_path / "tgt").unlink()
    found = expect_data(config, Layout(tmp_path))
    assert found.basis == "nothing"
    assert "tgt is not there" in found.reason


def test_long_text_is_left_to_the_dry_run(tmp_path):
    found = expect_data(small(tmp_path, TEXT), Layout(tmp_path), most_bytes=3)
    assert found.basis == "nothing"
    assert "--dry-run counts it" in found.reason


def test_text_without_a_pair_is_an_error(tmp_path):
    with pytest.raises(CorpusError, match="no training pair is left"):
        expect_data(small(tmp_path, (["", "a"], ["x", ""])), Layout(tmp_path))


def test_max_steps_shortens_the_training():
    lengths = np.full(100, 5, dtype=np.int64)
    data = ExpectedData("shards", "", lengths, lengths, (9, 9))
    found = expected_epoch(data, 10, TrainConfig(max_epochs=7.5, max_steps=15))
    assert (found.total_updates, found.epochs, found.total_words) == (15, 1.5, 1500)


def test_nothing_runs_where_the_weights_alone_need_more_memory_than_is_free(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(devices, "_available_bytes", lambda: 1000)
    found = estimate(small(tmp_path, TEXT), Layout(tmp_path))
    assert found.speed is None
    assert "memory" in found.not_measured
    assert not found.memory.fits


def tiny(folder, **train):
    """A project with a model that takes no time."""
    config = small(folder, TEXT)
    model = {"layers": 1, "cells": 8, "embedding_size": 8}
    return config.model_copy(
        update={
            "model": config.model.model_copy(update=model),
            "train": TrainConfig(**train),
        }
    )


def test_an_update_that_runs_out_of_memory_is_part_of_the_result(tmp_path, monkeypatch):
    def forward(*args, **kwargs):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(Seq2Seq, "forward", forward)
    found = estimate(tiny(tmp_path), Layout(tmp_path))
    assert found.not_measured == "an update of 1 pair ran out of memory"
    assert found.speed is None
    assert found.memory.workspace_bytes == 0


def test_a_small_model_is_timed_with_whole_batches(tmp_path, monkeypatch):
    monkeypatch.setattr(trial, "_WHOLE_BATCHES_S", 0.05)
    config = tiny(tmp_path, ema_decay=0.9, max_minutes=1e-6)
    found = estimate(config, Layout(tmp_path))
    assert found.memory.workspace_bytes > 0
    assert found.memory.measured_words == found.memory.batch_words == 24
    assert found.speed is not None
    assert found.speed.trial_pairs == 3
    assert found.speed.words_per_s == pytest.approx(24 / found.speed.update_s)
    assert found.speed.training_s == pytest.approx(6e-5)  # max_minutes ends it


def test_the_time_of_a_large_batch_is_on_the_line_through_small_ones():
    parts = Trial([Step(2, 100, 1.0), Step(4, 200, 1.5), Step(8, 400, 2.5)])
    assert parts.step_s(6400) == pytest.approx(0.5 + 6400 * 0.005)
    whole = Trial(parts.measured, [Step(128, 1000, 1.0), Step(64, 500, 0.5)])
    assert whole.step_s(6400) == pytest.approx(6.4)


class FakeTrainer(TrialTrainer):
    """Steps that take a second and a megabyte for each pair."""

    def __init__(self):
        self.steps = []

    def time(self, planned):
        pairs = len(planned.pair_ids)
        self.steps.append(pairs)
        return Step(pairs, planned.num_words, float(pairs))

    def measure(self, planned):
        step = self.time(planned)
        return step._replace(peak_bytes=1_000_000 * step.pairs)


@pytest.mark.parametrize(
    ("second_s", "total_s", "available_bytes", "expected"),
    [
        (1e9, 1e9, np.inf, [2, 15, 30, 100]),
        (1e9, 31.0, np.inf, [2, 15, 30]),
        (10.0, 1e9, np.inf, [2, 15]),
        (1e9, 1e9, 80e6, [2, 15, 30]),
        (1e9, 1e9, 20e6, [2, 15]),
    ],
)
def test_steps_that_would_need_too_much_time_or_memory_are_not_made(
    monkeypatch, second_s, total_s, available_bytes, expected
):
    monkeypatch.setattr(trial, "_SECOND_S", second_s)
    monkeypatch.setattr(trial, "_TOTAL_S", total_s)
    lengths = np.full(100, 65, dtype=np.int64)
    data = ExpectedData("nothing", "", lengths, lengths, (50, 50))
    trainer = FakeTrainer()
    found = run_trial(trainer, data, [np.arange(100)], available_bytes=available_bytes)
    assert trainer.steps == expected
    assert [step.pairs for step in found.measured] == expected[1:]
    assert not found.timed

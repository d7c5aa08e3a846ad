import numpy as np
import pytest
import torch

from pipelines.estimate import trial
from pipelines.estimate.data import TrainingData
from pipelines.estimate.trial import (
    StepTimer,
    TimedStep,
    Trial,
    parts_of_batch,
    run_trial,
)
from tests.engines import BACKENDS, always_pack
from tests.estimate.tiny import MODELS, TRAINS, make_data, make_timer


@pytest.mark.slow
@pytest.mark.parametrize("packs", [False, True])
@pytest.mark.parametrize("train", TRAINS)
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("engine", BACKENDS)
def test_memory_is_extrapolated_from_small_steps(
    engine, model, train, packs, monkeypatch
):
    if packs:
        always_pack(monkeypatch)
    _, timer = make_timer(model, train, engine)
    data = make_data(120)
    *parts, whole = map(data.load_batch, parts_of_batch(np.arange(120), data))
    measured = [timer.measure(part) for part in parts]
    estimated_bytes = Trial(measured).peak_bytes(whole.num_words)
    assert len(parts) == 2
    assert 1.0 <= estimated_bytes / timer.measure(whole).peak_bytes <= 1.2


def test_a_single_step_estimates_a_larger_one_from_above():
    _, timer = make_timer(MODELS[0], "sgd")
    data = make_data(150)
    part, *_, whole = parts_of_batch(np.arange(150), data)
    trial = Trial([timer.measure(data.load_batch(part))])
    whole_step = timer.measure(data.load_batch(whole))
    assert trial.peak_bytes(whole_step.words) > whole_step.peak_bytes
    assert Trial([whole_step]).peak_bytes(whole_step.words) == whole_step.peak_bytes


def test_a_trial_step_changes_no_weights_and_repeats_its_memory():
    _, timer = make_timer(MODELS[1], "adam")
    batch = make_data(20).load_batch(np.arange(20))
    before = [p.detach().clone() for p in timer.train_step.model.parameters()]
    first, second = timer.measure(batch), timer.measure(batch)
    assert first.peak_bytes == second.peak_bytes > 0
    after = timer.train_step.model.parameters()
    assert all(map(torch.equal, before, after))


@pytest.mark.parametrize("num_pairs", [1, 20, 50, 150])
def test_parts_of_a_batch_grow_and_fill_one_chunk_and_two(num_pairs):
    data = make_data(num_pairs)
    parts = parts_of_batch(np.arange(num_pairs), data)
    tokens = [int(data.tgt_lengths[part].sum()) for part in parts]
    assert sorted(parts[-1].tolist()) == list(range(num_pairs))
    assert tokens == sorted(set(tokens))
    assert len(parts) == 1 + (tokens[-1] > 1023) + (tokens[-1] > 2046)
    for number, count in enumerate(tokens[:-1], 1):
        assert 960 < count / number < 1024


def test_the_time_of_a_large_batch_is_on_the_line_through_small_ones():
    parts = Trial(
        [TimedStep(2, 100, 1.0), TimedStep(4, 200, 1.5), TimedStep(8, 400, 2.5)]
    )
    assert parts.step_s(6400) == pytest.approx(0.5 + 6400 * 0.005)
    whole = Trial(parts.measured, [TimedStep(128, 1000, 1.0), TimedStep(64, 500, 0.5)])
    assert whole.step_s(6400) == pytest.approx(6.4)


class FakeTimer(StepTimer):
    """Steps that take a second and a megabyte for each pair."""

    def __init__(self):
        self.steps = []

    def time(self, batch):
        pairs = len(batch.pair_ids)
        self.steps.append(pairs)
        return TimedStep(pairs, batch.num_words, float(pairs))

    def measure(self, batch):
        step = self.time(batch)
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
    data = TrainingData("nothing", "", lengths, lengths, (50, 50))
    timer = FakeTimer()
    result = run_trial(timer, data, [np.arange(100)], available_bytes=available_bytes)
    assert timer.steps == expected
    assert [step.pairs for step in result.measured] == expected[1:]
    assert not result.timed


def test_whole_batches_are_timed_after_the_largest(monkeypatch):
    monkeypatch.setattr(trial, "_WHOLE_BATCHES_S", 1e9)
    monkeypatch.setattr(trial, "_TOTAL_S", 1e9)
    lengths = np.array([3, 3, 3, 3, 9, 9], dtype=np.int64)
    data = TrainingData("nothing", "", lengths, lengths, (50, 50))
    batches = [np.array([0, 1, 2, 3]), np.array([4, 5])]
    result = run_trial(FakeTimer(), data, batches, available_bytes=np.inf)
    assert [step.words for step in result.measured] == [36]
    assert [step.words for step in result.timed] == [24, 36]
    assert result.peak_bytes(36) == 2_000_000

import os
import signal
from contextlib import contextmanager
from functools import partial

import pytest
import torch

from pipelines.artifacts.checkpoint import read_best, read_model, read_trainer
from pipelines.artifacts.checkpoint_folder import checkpoints, step_of
from pipelines.artifacts.metrics_log import read_metrics
from pipelines.errors import (
    CorruptArtifactError,
    DivergenceError,
    Interrupted,
    OutOfMemoryError,
)
from tests.engines import PROCESSORS, pretend
from tests.trainer.tiny import TRAIN, make_trainer, weights, write_data


@pytest.fixture
def make(tmp_path):
    """Makes the trainer of a folder's name."""
    write_data(tmp_path)
    return partial(make_trainer, tmp_path)


def with_settings(**settings):
    return TRAIN.model_copy(update=settings)


def saved_checkpoints(folder):
    return checkpoints(folder / "checkpoints")


def saved_steps(folder):
    return [step_of(path) for path in saved_checkpoints(folder)]


@pytest.mark.parametrize(
    "processor",
    [
        pytest.param(name, marks=() if name == "AMD with bf16" else pytest.mark.slow)
        for name in PROCESSORS
    ],
)
@pytest.mark.parametrize("settings", [{}, {"ema_decay": 0.0}, {"precision": "bf16"}])
def test_a_stopped_and_resumed_training_ends_with_the_same_bits(
    make, tmp_path, settings, processor, monkeypatch, caplog
):
    pretend(monkeypatch, processor)
    config = with_settings(**settings)
    whole = make("whole", config)
    whole.fit()
    make("parts", config.model_copy(update={"max_steps": 7})).fit()
    rest = make("parts", config)
    assert rest.fit().step == whole.state.step == whole.total_steps
    assert torch.equal(weights(rest), weights(whole))
    one, two = (read_best(tmp_path / name)[1].tensors for name in ("whole", "parts"))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert "other arithmetic" not in caplog.text


def test_resuming_with_other_arithmetic_warns_in_one_line(
    make, tmp_path, monkeypatch, caplog
):
    def saved_arithmetic():
        return read_trainer(saved_checkpoints(tmp_path / "run")[-1]).info["arithmetic"]

    pretend(monkeypatch, "Intel")
    first = make("run", with_settings(max_steps=7))
    first.fit()
    assert saved_arithmetic() == first.arithmetic
    assert first.arithmetic["precision"] == "fp32"
    pretend(monkeypatch, "AMD with bf16")
    make("run").fit()
    (line,) = [r.message for r in caplog.records if "other arithmetic" in r.message]
    assert "precision fp32 -> bf16" in line
    assert "lstm onednn where it suits -> own" in line
    assert "processor Intel Xeon -> AMD EPYC" in line
    assert "threads" not in line
    assert saved_arithmetic()["precision"] == "bf16"


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_training_lowers_the_validation_perplexity(make, tmp_path, optimizer):
    make(
        "run", with_settings(optimizer=optimizer, learning_rate=0.05, ema_decay=0.0)
    ).fit()
    entries = read_metrics(tmp_path / "run")
    perplexities = [x["perplexity"] for x in entries if x["kind"] == "valid"]
    assert len(perplexities) == 4
    assert perplexities[-1] < perplexities[0] < 9.5


def test_a_finished_training_makes_no_further_update(make, tmp_path):
    make("run").fit()
    before = saved_steps(tmp_path / "run")
    again = make("run")
    again.fit()
    assert again.state.step == again.total_steps
    assert saved_steps(tmp_path / "run") == before


def test_a_training_that_ended_by_max_minutes_makes_no_further_update(make, tmp_path):
    config = with_settings(max_minutes=1e-6)
    first = make("run", config)
    first.fit()
    assert first.state.step == 1 < first.total_steps
    before = saved_steps(tmp_path / "run")
    again = make("run", config)
    again.fit()
    assert again.state.step == 1
    assert torch.equal(weights(again), weights(first))
    assert saved_steps(tmp_path / "run") == before


def test_the_last_and_the_best_checkpoints_are_kept(make, tmp_path):
    trainer = make("run", with_settings(max_epochs=6.0, keep_last=2, keep_best=1))
    state = trainer.fit()
    steps = trainer.steps_per_epoch
    assert set(saved_steps(tmp_path / "run")) == {6 * steps, 5 * steps, state.best_step}


class StopAtStep:
    """Progress that sends SIGTERM to this process during an update."""

    def __init__(self, step):
        self._step, self._num_calls = step, -1  # the first call counts earlier steps

    @contextmanager
    def task(self, description, *, total=None, unit="lines"):
        yield self

    def advance(self, amount=1, **figures):
        self._num_calls += 1
        if self._num_calls == self._step:
            os.kill(os.getpid(), signal.SIGTERM)


def test_a_signal_saves_and_stops_and_training_resumes(make):
    trainer = make("run", progress=StopAtStep(5))
    with pytest.raises(Interrupted) as caught:
        trainer.fit()
    assert caught.value.exit_status == 143
    assert 0 < trainer.state.step < trainer.total_steps
    whole, rest = make("whole"), make("run")
    whole.fit()
    rest.fit()
    assert torch.equal(weights(rest), weights(whole))


def test_a_signal_during_the_last_validation_is_not_lost(make):
    def bleu(_model):
        os.kill(os.getpid(), signal.SIGINT)
        return 1.0

    config = with_settings(max_epochs=1.0)
    trainer = make("run", config, bleu=bleu)
    with pytest.raises(Interrupted, match="everything is saved") as caught:
        trainer.fit()
    assert caught.value.exit_status == 130
    assert trainer.state.step == trainer.total_steps
    assert make("run", config).fit().best_step == trainer.total_steps


def test_early_stopping_ends_after_patience_validations_without_gain(make):
    trainer = make("run", with_settings(learning_rate=1e-12, patience=2, ema_decay=0.0))
    state = trainer.fit()
    assert state.validations_without_gain == 2
    assert state.step == 3 * trainer.steps_per_epoch < trainer.total_steps


def test_best_by_bleu_keeps_the_highest(make):
    scores = iter([3.0, 9.0, 5.0, 1.0])
    config = with_settings(valid_bleu=True, best_by="bleu")
    trainer = make("run", config, bleu=lambda model: next(scores))
    state = trainer.fit()
    assert state.best is not None
    assert state.best.bleu == 9.0
    assert state.best_step == 2 * trainer.steps_per_epoch


DIVERGING = {"optimizer": "sgd", "learning_rate": 1e38, "clip_norm": 0.0}


def test_a_loss_that_is_not_finite_is_never_saved(make, tmp_path):
    with pytest.raises(DivergenceError):
        make("run", with_settings(**DIVERGING)).fit()
    for path in saved_checkpoints(tmp_path / "run"):
        assert read_model(path).tensors["encoder.embedding.weight"].isfinite().all()


def test_the_pairs_of_a_diverged_batch_are_logged(make, tmp_path):
    config = with_settings(**DIVERGING)
    with pytest.raises(DivergenceError, match="training pairs") as caught:
        make("run", config).fit()
    last = read_metrics(tmp_path / "run")[-1]
    assert last["kind"] == "diverged"
    assert tuple(last["pairs"]) == caught.value.pair_ids
    assert 1 <= len(caught.value.pair_ids) <= config.batch_size


def test_a_damaged_checkpoint_is_passed_over(make, tmp_path, caplog):
    trainer = make("run")
    trainer.fit()
    newest = saved_checkpoints(tmp_path / "run")[-1]
    weights_file = newest / "model.safetensors"
    data = bytearray(weights_file.read_bytes())
    data[-1] ^= 1
    weights_file.write_bytes(data)
    with pytest.raises(CorruptArtifactError, match=r"model\.safetensors"):
        read_model(newest)
    again = make("run")
    again.fit()
    assert "model.safetensors is damaged" in caplog.text
    assert torch.equal(weights(again), weights(trainer))


def test_no_step_is_logged_twice_after_a_resume(make, tmp_path):
    make("run", with_settings(max_steps=13)).fit()
    make("run").fit()
    keys = [(x["step"], x["kind"]) for x in read_metrics(tmp_path / "run")]
    assert len(keys) == len(set(keys))


def test_checkpoints_are_saved_between_validations_on_request(make, tmp_path):
    make("run", with_settings(checkpoint_every_steps=3, max_steps=4)).fit()
    assert saved_steps(tmp_path / "run") == [3, 4]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_too_little_memory_names_the_batch_and_the_settings_to_lower(make, error):
    trainer = make("run")

    def fail(*args, **kwargs):
        raise error

    trainer.model.forward = fail
    with pytest.raises(OutOfMemoryError, match="step 1: a batch of 4 pairs") as caught:
        trainer.fit()
    assert "train.max_batch_tokens (now 32768)" in caught.value.hint
    assert "train.batch_size (4)" in caught.value.hint


def test_metrics_of_an_epoch_are_complete(make, tmp_path):
    trainer = make("run")
    trainer.fit()
    metrics = next(x for x in read_metrics(tmp_path / "run") if x["kind"] == "train")
    for name in ("loss_nats_per_token", "words_per_s", "gradient_norm"):
        assert metrics[name] > 0
    assert {"clipped_share", "learning_rate", "elapsed_s"} <= metrics.keys()
    assert 0 <= metrics["padding_share"] < 1
    assert 0 <= metrics["data_wait_share"] < 1
    words = sum(trainer._train.src_lengths) + sum(trainer._train.tgt_lengths)
    assert trainer.state.num_words == words * TRAIN.max_epochs

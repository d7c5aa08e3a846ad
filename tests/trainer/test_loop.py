import json
import os
import signal
from functools import partial

import pytest
import torch

from pipelines.artifacts.checkpoint import read_best, read_model, read_trainer
from pipelines.artifacts.checkpoint_folder import checkpoints
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
    write_data(tmp_path)
    return partial(make_trainer, tmp_path)


@pytest.mark.parametrize("processor", PROCESSORS)
@pytest.mark.parametrize("settings", [{}, {"ema_decay": 0.0}, {"precision": "bf16"}])
def test_a_stopped_and_resumed_run_ends_with_the_same_bits(
    make, settings, processor, monkeypatch, caplog
):
    pretend(monkeypatch, processor)
    config = TRAIN.model_copy(update=settings)
    whole = make("whole", config)
    whole.fit()
    half = config.model_copy(update={"max_steps": 7})
    make("parts", half).fit()
    rest = make("parts", config)
    position = rest.fit()
    assert position.step == whole.position.step == whole.total_steps
    assert torch.equal(weights(rest), weights(whole))
    saved = [read_best(t._store.folder)[1].tensors for t in (whole, rest)]
    assert all(torch.equal(saved[0][name], saved[1][name]) for name in saved[0])
    assert "other arithmetic" not in caplog.text


def test_resuming_with_other_arithmetic_is_said_in_one_line(make, monkeypatch, caplog):
    pretend(monkeypatch, "Intel")
    config = TRAIN.model_copy(update={"max_steps": 7})
    first = make("run", config)
    first.fit()
    (newest,) = checkpoints(first._store.checkpoints)[-1:]
    assert read_trainer(newest).info["arithmetic"] == first.arithmetic
    assert first.arithmetic["precision"] == "fp32"
    pretend(monkeypatch, "AMD with bf16")
    second = make("run", TRAIN)
    second.fit()
    (said,) = [r.message for r in caplog.records if "other arithmetic" in r.message]
    assert "precision fp32 -> bf16" in said
    assert "lstm onednn where it suits -> own" in said
    assert "processor Intel Xeon -> AMD EPYC" in said
    assert "threads" not in said
    (newest,) = checkpoints(second._store.checkpoints)[-1:]
    assert read_trainer(newest).info["arithmetic"]["precision"] == "bf16"


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_training_lowers_the_validation_perplexity(make, optimizer):
    config = TRAIN.model_copy(
        update={"optimizer": optimizer, "learning_rate": 0.05, "ema_decay": 0.0}
    )
    trainer = make("run", config)
    trainer.fit()
    lines = (trainer._store.folder / "metrics.jsonl").read_text().splitlines()
    found = [json.loads(x)["perplexity"] for x in lines if '"valid"' in x]
    assert len(found) == 4
    assert found[-1] < found[0] < 9.5


def test_a_finished_run_does_nothing_more(make):
    make("run").fit()
    again = make("run")
    before = sorted(p.name for p in checkpoints(again._store.checkpoints))
    again.fit()
    assert again.position.step == again.total_steps
    assert sorted(p.name for p in checkpoints(again._store.checkpoints)) == before


def test_a_run_that_ended_by_max_minutes_does_nothing_more(make):
    config = TRAIN.model_copy(update={"max_minutes": 1e-6})
    first = make("run", config)
    first.fit()
    assert first.position.step == 1 < first.total_steps
    before = sorted(p.name for p in checkpoints(first._store.checkpoints))
    again = make("run", config)
    again.fit()
    assert again.position.step == 1
    assert torch.equal(weights(again), weights(first))
    assert sorted(p.name for p in checkpoints(again._store.checkpoints)) == before


def test_last_and_read_bests_are_kept(make):
    config = TRAIN.model_copy(
        update={"max_epochs": 6.0, "keep_last": 2, "keep_best": 1}
    )
    trainer = make("run", config)
    position = trainer.fit()
    names = {int(p.name[5:]) for p in checkpoints(trainer._store.checkpoints)}
    steps = trainer.steps_per_epoch
    assert names == {6 * steps, 5 * steps, position.best_step}


def test_a_signal_saves_and_stops_and_training_goes_on(make):
    trainer = make("run")
    task_calls = 0

    class Stopper:
        def advance(self, amount=1, **figures):
            nonlocal task_calls
            task_calls += 1
            if task_calls == 6:
                os.kill(os.getpid(), signal.SIGTERM)

    from contextlib import contextmanager

    class Progress:
        @contextmanager
        def task(self, description, *, total=None, unit="lines"):
            yield Stopper()

    trainer._progress = Progress()
    with pytest.raises(Interrupted) as caught:
        trainer.fit()
    assert caught.value.exit_status == 143
    stopped = trainer.position.step
    assert 0 < stopped < trainer.total_steps
    whole, rest = make("whole"), make("run")
    whole.fit()
    rest.fit()
    assert torch.equal(weights(rest), weights(whole))


def test_a_signal_during_the_last_validation_is_not_lost(make):
    def bleu(_model):
        os.kill(os.getpid(), signal.SIGINT)
        return 1.0

    config = TRAIN.model_copy(update={"max_epochs": 1.0})
    trainer = make("run", config, bleu=bleu)
    with pytest.raises(Interrupted, match="everything is saved") as caught:
        trainer.fit()
    assert caught.value.exit_status == 130
    assert trainer.position.step == trainer.total_steps
    assert make("run", config).fit().best_step == trainer.total_steps


def test_early_stopping_ends_after_patience_validations_without_gain(make):
    config = TRAIN.model_copy(
        update={"learning_rate": 1e-12, "patience": 2, "ema_decay": 0.0}
    )
    trainer = make("run", config)
    position = trainer.fit()
    assert position.validations_without_gain == 2
    assert position.step == 3 * trainer.steps_per_epoch < trainer.total_steps


def test_best_by_bleu_keeps_the_highest(make):
    scores = iter([3.0, 9.0, 5.0, 1.0])
    config = TRAIN.model_copy(update={"valid_bleu": True, "best_by": "bleu"})
    trainer = make("run", config, bleu=lambda model: next(scores))
    position = trainer.fit()
    assert position.best is not None
    assert position.best.bleu == 9.0
    assert position.best_step == 2 * trainer.steps_per_epoch


def test_a_loss_that_is_not_finite_stops_without_a_checkpoint(make):
    config = TRAIN.model_copy(
        update={"optimizer": "sgd", "learning_rate": 1e38, "clip_norm": 0.0}
    )
    trainer = make("run", config)
    with pytest.raises(DivergenceError):
        trainer.fit()
    for path in checkpoints(trainer._store.checkpoints):
        assert read_model(path).tensors["encoder.embedding.weight"].isfinite().all()


def test_a_damaged_checkpoint_is_passed_over(make, caplog):
    trainer = make("run")
    trainer.fit()
    newest = checkpoints(trainer._store.checkpoints)[-1]
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


def test_metrics_hold_no_step_twice_after_a_resume(make):
    make("run", TRAIN.model_copy(update={"max_steps": 13})).fit()
    trainer = make("run")
    trainer.fit()
    lines = (trainer._store.folder / "metrics.jsonl").read_text().splitlines()
    keys = [(json.loads(x)["step"], json.loads(x)["kind"]) for x in lines]
    assert len(keys) == len(set(keys))


def test_checkpoints_between_validations_when_asked(make):
    config = TRAIN.model_copy(update={"checkpoint_every_steps": 3, "max_steps": 4})
    trainer = make("run", config)
    trainer.fit()
    names = [p.name for p in checkpoints(trainer._store.checkpoints)]
    assert names == ["step-00000003", "step-00000004"]


def test_the_pairs_of_a_batch_that_diverged_are_kept(make):
    config = TRAIN.model_copy(
        update={"optimizer": "sgd", "learning_rate": 1e38, "clip_norm": 0.0}
    )
    trainer = make("run", config)
    with pytest.raises(DivergenceError, match="training pairs") as caught:
        trainer.fit()
    last = json.loads(
        (trainer._store.folder / "metrics.jsonl").read_text().splitlines()[-1]
    )
    assert last["kind"] == "diverged"
    assert tuple(last["pairs"]) == caught.value.numbers
    assert 1 <= len(caught.value.numbers) <= config.batch_size


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_too_little_memory_names_the_batch_and_what_to_lower(make, error):
    trainer = make("run")

    def fail(*args, **kwargs):
        raise error

    trainer.model.forward = fail
    with pytest.raises(OutOfMemoryError, match="step 1: a batch of 4 pairs") as caught:
        trainer.fit()
    assert "train.max_batch_tokens (now 32768)" in caught.value.hint
    assert "train.batch_size (4)" in caught.value.hint


def test_metrics_say_what_a_user_wants_to_know(make):
    trainer = make("run")
    trainer.fit()
    lines = (trainer._store.folder / "metrics.jsonl").read_text().splitlines()
    found = next(json.loads(x) for x in lines if '"train"' in x)
    names = ("words_per_s", "gradient_norm", "clipped_share", "learning_rate")
    assert all(found[name] > 0 for name in ("loss_nats_per_token", *names[:2]))
    assert {*names, "padding_share", "data_wait_share", "elapsed_s"} <= found.keys()
    assert 0 <= found["padding_share"] < 1
    assert 0 <= found["data_wait_share"] < 1
    words = sum(trainer._train.src_lengths) + sum(trainer._train.tgt_lengths)
    assert trainer.position.num_words == words * TRAIN.max_epochs

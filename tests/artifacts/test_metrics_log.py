import sys

import pytest

from pipelines.artifacts.metrics_log import MetricsLog, read_metrics
from pipelines.errors import ConfigError


def test_metrics_are_read_as_they_were_written(tmp_path):
    log = MetricsLog(tmp_path, step=0)
    log.write(1, "train", {"loss_nats_per_token": 0.1})
    log.write(2, "valid", {"perplexity": 2.0})
    assert read_metrics(tmp_path) == [
        {"step": 1, "kind": "train", "loss_nats_per_token": 0.1},
        {"step": 2, "kind": "valid", "perplexity": 2.0},
    ]


def test_before_training_there_are_no_metrics(tmp_path):
    assert read_metrics(tmp_path) == []


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    log = MetricsLog(None, step=0, tensorboard=True)
    log.write(1, "train", {"loss_nats_per_token": 1.0})
    log.close()
    assert list(tmp_path.iterdir()) == []


def test_lines_after_the_step_of_a_resume_are_removed(tmp_path):
    log = MetricsLog(tmp_path, step=0)
    for step in (1, 2, 3):
        log.write(step, "train", {"loss_nats_per_token": 1.0 / step})
    MetricsLog(tmp_path, step=2).write(3, "valid", {"perplexity": 2.0})
    assert [(x["step"], x["kind"]) for x in read_metrics(tmp_path)] == [
        (1, "train"),
        (2, "train"),
        (3, "valid"),
    ]


def test_a_line_cut_by_a_kill_is_removed_on_resuming(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "kind": "train"}\n{"step": 2, ')
    MetricsLog(tmp_path, step=5)
    assert path.read_text() == '{"step": 1, "kind": "train"}\n'


def test_tensorboard_events_are_written_too(tmp_path):
    pytest.importorskip("tensorboard")
    log = MetricsLog(tmp_path, step=0, tensorboard=True)
    log.write(1, "train", {"loss_nats_per_token": 1.0})
    log.close()
    assert list((tmp_path / "tensorboard").glob("events.*"))


def test_a_missing_tensorboard_names_the_package_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ConfigError, match="not installed") as caught:
        MetricsLog(tmp_path, step=0, tensorboard=True)
    assert "s2s[tensorboard]" in caught.value.hint


def test_damaged_lines_are_skipped_and_counted(tmp_path, caplog):
    deep = b"[" * 100_000
    lines = [
        b'{"step": 1, "kind": "train"}',
        b'{"step": 2, "kind": "\xff"}',
        deep,
        b'{"step": "three"}',
        b'{"step": 4, "kind": "valid"}',
    ]
    (tmp_path / "metrics.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    assert [entry["step"] for entry in read_metrics(tmp_path)] == [1, 4]
    assert "metrics.jsonl: skipping 3 lines that cannot be read" in caplog.text


def test_half_a_last_line_of_a_killed_training_is_no_warning(tmp_path, caplog):
    (tmp_path / "metrics.jsonl").write_bytes(b'{"step": 1}\n{"step": 2, "ki')
    assert read_metrics(tmp_path) == [{"step": 1}]
    assert caplog.text == ""

import json
import sys

import pytest

from pipelines.errors import ConfigError
from pipelines.trainer.metrics_log import MetricsLog


def read(folder):
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_lines_after_the_step_of_a_resume_are_cut_off(tmp_path):
    log = MetricsLog(tmp_path, step=0)
    for step in (1, 2, 3):
        log.write(step, "train", {"loss_nats_per_token": 1.0 / step})
    MetricsLog(tmp_path, step=2).write(3, "valid", {"perplexity": 2.0})
    assert [(x["step"], x["kind"]) for x in read(tmp_path)] == [
        (1, "train"),
        (2, "train"),
        (3, "valid"),
    ]


def test_a_line_cut_by_a_kill_is_left_out(tmp_path):
    (tmp_path / "metrics.jsonl").write_text(
        '{"step": 1, "kind": "train"}\n{"step": 2, '
    )
    MetricsLog(tmp_path, step=5)
    assert read(tmp_path) == [{"step": 1, "kind": "train"}]


def test_tensorboard_events_are_written_beside(tmp_path):
    pytest.importorskip("tensorboard")
    log = MetricsLog(tmp_path, step=0, tensorboard=True)
    log.write(1, "train", {"loss_nats_per_token": 1.0})
    log.close()
    assert list((tmp_path / "tensorboard").glob("events.*"))


def test_tensorboard_that_is_not_installed_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ConfigError, match="not installed") as caught:
        MetricsLog(tmp_path, step=0, tensorboard=True)
    assert "s2s[tensorboard]" in caught.value.hint

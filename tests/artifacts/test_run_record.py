import json
from dataclasses import replace

import pytest

from pipelines.artifacts.run_record import (
    ForkedFrom,
    RunRecord,
    read_record,
    record_arithmetic,
    write_record,
)

SETTINGS = {"train.schedule": "halving", "train.max_epochs": 3, "train.seed": 1}
RECORD = RunRecord("key", SETTINGS, {"binarize": "b"})


@pytest.mark.parametrize("forked_from", [None, ForkedFrom("abc", 12)])
def test_a_record_reads_as_it_was_written(tmp_path, forked_from):
    record = replace(RECORD, forked_from=forked_from)
    write_record(tmp_path, record)
    assert read_record(tmp_path) == record
    record_arithmetic(tmp_path, {"precision": "bf16"})
    assert read_record(tmp_path) == replace(record, arithmetic={"precision": "bf16"})


def test_the_file_names_the_run_and_leaves_out_what_is_empty(tmp_path):
    write_record(tmp_path, RECORD)
    assert json.loads((tmp_path / "run.json").read_bytes()) == {
        "run": "key",
        "settings": SETTINGS,
        "inputs": {"binarize": "b"},
    }
    write_record(tmp_path, replace(RECORD, forked_from=ForkedFrom("abc", 12)))
    content = json.loads((tmp_path / "run.json").read_bytes())
    assert content["forked_from"] == {"run": "abc", "step": 12}


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"run": "key", "settings": 1, "inputs": 2}',
        b'{"settings": {}, "inputs": {}}',
        b"\xff",
    ],
)
def test_a_missing_or_damaged_file_is_no_record(tmp_path, content):
    if content is not None:
        (tmp_path / "run.json").write_bytes(content)
    assert read_record(tmp_path) is None

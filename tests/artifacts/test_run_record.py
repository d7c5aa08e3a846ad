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
RECORD = RunRecord(SETTINGS, {"binarize": "b"})


@pytest.mark.parametrize("forked_from", [None, ForkedFrom("abc", 12)])
def test_what_is_written_is_read(tmp_path, forked_from):
    record = RunRecord(SETTINGS, {"binarize": "b"}, forked_from)
    write_record(tmp_path, record)
    assert read_record(tmp_path) == record
    record_arithmetic(tmp_path, {"precision": "bf16"})
    assert read_record(tmp_path) == replace(record, arithmetic={"precision": "bf16"})
    content = json.loads((tmp_path / "run.json").read_bytes())
    assert content["run"] == record.key == RECORD.key
    assert ("forked_from" in content) == (forked_from is not None)


@pytest.mark.parametrize(
    "content", [None, b"", b"{", b"[]", b"{}", b'{"settings": 1, "inputs": 2}', b"\xff"]
)
def test_what_cannot_be_read_is_no_record(tmp_path, content):
    if content is not None:
        (tmp_path / "run.json").write_bytes(content)
    assert read_record(tmp_path) is None


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ({"train.max_epochs": 9}, True),
        ({"train.patience": 9}, True),
        ({"train.seed": 9}, False),
        ({"train.schedule": "cosine"}, False),
    ],
)
def test_limits_may_change_between_two_processes(changed, same):
    other = RunRecord({**SETTINGS, **changed}, RECORD.inputs)
    assert (other.key == RECORD.key) == same


def test_the_length_belongs_to_a_schedule_that_is_drawn_for_it():
    cosine = {**SETTINGS, "train.schedule": "cosine"}
    longer = {**cosine, "train.max_epochs": 4}
    assert RunRecord(cosine, {}).key != RunRecord(longer, {}).key


def test_other_inputs_make_another_run():
    assert RunRecord(SETTINGS, {"binarize": "c"}).key != RECORD.key

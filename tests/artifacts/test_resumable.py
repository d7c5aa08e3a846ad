"""Outputs whose writing is interrupted and resumed."""

import fcntl
import json
import logging
from contextlib import suppress

import pytest

from pipelines.artifacts.corpus import read_lines
from pipelines.artifacts.layout import part_files
from pipelines.artifacts.resumable import resumable
from pipelines.errors import BusyError


class Killed(Exception):
    pass


def write(path, pieces, *, identity="same", die_after=None, torn=""):
    """Write the missing pieces; returns the number of pieces that were recorded."""
    with resumable(path, identity) as output:
        start = output.num_inputs
        for number in range(start, len(pieces)):
            if number == die_after:
                output.file.write(torn)
                output.file.flush()
                raise Killed
            output.file.write(pieces[number])
            output.record(number + 1)
    return start


PIECES = ["eins\n", "zwei\u2028\n", "", "drei\n"]


@pytest.mark.parametrize("die_after", [0, 1, 2, 3])
@pytest.mark.parametrize("torn", ["", "half a li"])
def test_the_output_of_a_killed_process_is_resumed(tmp_path, die_after, torn):
    path = tmp_path / "out"
    with pytest.raises(Killed):
        write(path, PIECES, die_after=die_after, torn=torn)
    assert not path.exists()
    assert write(path, PIECES) == die_after
    assert path.read_bytes().decode() == "".join(PIECES)
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_the_output_of_another_task_starts_again_with_a_warning(tmp_path, caplog):
    path = tmp_path / "out"
    with pytest.raises(Killed):
        write(path, PIECES, die_after=2)
    assert write(path, ["other\n"], identity="another") == 0
    assert path.read_text() == "other\n"
    assert "other models, settings or input" in caplog.text


@pytest.mark.parametrize("damage", ["record", "part", "numbers"])
def test_a_damaged_record_or_part_starts_again(tmp_path, caplog, damage):
    path = tmp_path / "out"
    with pytest.raises(Killed):
        write(path, PIECES, die_after=2)
    record = tmp_path / "out.part.json"
    if damage == "record":
        record.write_text("{")
    elif damage == "part":
        (tmp_path / "out.part").write_text("e")
    else:
        record.write_text(json.dumps({"identity": "same", "inputs": "x", "bytes": 1}))
    assert write(path, PIECES) == 0
    assert path.read_bytes().decode() == "".join(PIECES)
    assert "is damaged; starting again" in caplog.text


def test_an_earlier_output_stays_until_the_new_one_is_complete(tmp_path):
    path = tmp_path / "out"
    path.write_text("old\n")
    with pytest.raises(Killed):
        write(path, PIECES, die_after=1)
    assert path.read_text() == "old\n"


def test_two_processes_cannot_write_the_same_file(tmp_path):
    path = tmp_path / "out"
    with (
        resumable(path, "same"),
        pytest.raises(BusyError, match="another process"),
        resumable(path, "same"),
    ):
        pass


@pytest.mark.parametrize("name", ["out.gz", "out.zst"])
@pytest.mark.parametrize("die_after", [None, 0, 1, 2, 3])
def test_a_compressed_output_is_resumed_at_a_frame(tmp_path, name, die_after):
    path = tmp_path / name
    if die_after is not None:
        with pytest.raises(Killed):
            write(path, PIECES, die_after=die_after, torn="half a li")
    assert write(path, PIECES) == (die_after or 0)
    assert b"".join(line + b"\n" for line in read_lines(path)).decode() == "".join(
        PIECES
    )
    assert not any(part.exists() for part in part_files(path))


@pytest.mark.parametrize("name", ["out.gz", "out.zst"])
def test_an_empty_compressed_output_is_a_whole_file(tmp_path, name):
    path = tmp_path / name
    assert write(path, []) == 0
    assert path.stat().st_size > 0
    assert list(read_lines(path)) == []


@pytest.mark.parametrize(("die_after", "count"), [(1, "1 line"), (2, "2 lines")])
def test_the_number_of_recorded_lines_is_logged(tmp_path, caplog, die_after, count):
    caplog.set_level(logging.INFO)
    path = tmp_path / "out"
    with pytest.raises(Killed):
        write(path, PIECES, die_after=die_after)
    write(path, PIECES)
    assert caplog.messages[-1].endswith(f"out.part after {count}")


def test_an_output_completed_before_the_lock_is_left_alone(tmp_path, monkeypatch):
    """Two processes open the part; the first completes it before the second locks."""
    path = tmp_path / "out"
    with suppress(KeyboardInterrupt), resumable(path, "task") as first:
        first.file.write("one\ntwo\n")
        first.record(2)
        raise KeyboardInterrupt
    part, record = part_files(path)
    flock = fcntl.flock
    seen: list[str] = []

    def complete_first(file, operation):
        if not seen:
            part.replace(path)
            record.unlink()
        seen.append(path.read_text())
        return flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", complete_first)
    with resumable(path, "task") as second:
        assert second.num_inputs == 0
        assert path.read_text() == "one\ntwo\n"
        second.file.write("three\n")
    assert path.read_text() == "three\n"
    assert not part.exists()

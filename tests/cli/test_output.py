"""Where commands write, and what they refuse to overwrite."""

import os
import sys
from pathlib import Path

import pytest

from pipelines.errors import UsageError
from s2scli.output import refuse_same_file

STREAM = Path("-")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a").write_text("a\n")
    Path("b").write_text("a\n")
    Path("link").symlink_to("a")
    os.link("a", "hard")
    Path("dangling").symlink_to("new")
    Path("loop").symlink_to("loop")
    return tmp_path


@pytest.mark.parametrize("output", ["a", "./a", "link", "hard"])
@pytest.mark.parametrize("source", ["a", "link", "hard"])
def test_an_output_that_is_an_input_is_refused(folder, output, source):
    with pytest.raises(UsageError, match="are the same file") as caught:
        refuse_same_file([None, Path(output)], [Path("b"), None, Path(source)])
    assert f"input {source}" in caught.value.message


@pytest.mark.parametrize("name", ["a", "new"])
def test_one_file_is_not_written_twice(folder, name):
    with pytest.raises(UsageError, match=f"output {name} and output {name}"):
        refuse_same_file([Path(name), Path(name)], [Path("b")])
    with pytest.raises(UsageError):
        refuse_same_file([Path("new"), Path("dangling")], [])


def test_other_files_pipes_and_devices_are_allowed(folder):
    null = Path("/dev/null")
    os.mkfifo("pipe")
    refuse_same_file(
        [Path("b"), Path("new"), null, Path("pipe"), STREAM],
        [Path("a"), Path("missing"), null, Path("pipe"), STREAM, Path("loop")],
    )


def test_standard_streams_are_compared_by_what_they_are(folder, monkeypatch):
    with Path("a").open() as source, Path("b").open("a") as output:
        monkeypatch.setattr(sys, "stdin", source)
        monkeypatch.setattr(sys, "stdout", output)
        refuse_same_file([Path("new"), STREAM], [STREAM])
        with pytest.raises(UsageError, match="output a and standard input are"):
            refuse_same_file([Path("a")], [STREAM])
        with pytest.raises(UsageError, match="standard output and input b are"):
            refuse_same_file([STREAM], [Path("b")])
        monkeypatch.setattr(sys, "stdin", None)
        refuse_same_file([Path("a")], [STREAM])

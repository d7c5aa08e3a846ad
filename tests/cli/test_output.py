"""Output files: where commands write, and what they refuse to overwrite."""

import os
import sys
from pathlib import Path

import pytest

from pipelines.errors import UsageError
from s2scli.output import open_output, refuse_same_file, require_output

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
def test_an_output_that_is_named_twice_is_refused(folder, name):
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


def test_standard_streams_are_compared_by_the_file_behind_them(folder, monkeypatch):
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


@pytest.mark.parametrize("name", ["link", "dangling"])
def test_an_output_is_written_where_a_link_leads(folder, name):
    target = Path(name).readlink()
    with open_output(Path(name)) as file:
        file.write("new\n")
    assert Path(name).readlink() == target
    assert target.read_text() == "new\n"


def test_a_file_appears_only_when_it_is_complete(folder):
    with open_output(Path("whole")) as file:
        file.write("text\n")
        assert not Path("whole").exists()
    assert Path("whole").read_text() == "text\n"
    with pytest.raises(ValueError, match="bad"), open_output(Path("new")):
        raise ValueError("bad")
    assert not Path("new").exists()
    assert not list(folder.glob("*.tmp-*"))


@pytest.mark.parametrize(
    ("name", "message"),
    [(".", "is a folder"), ("nowhere/new", "there is no folder nowhere")],
)
def test_an_output_that_cannot_be_written_is_refused(folder, name, message):
    with pytest.raises(UsageError, match=message):
        require_output(Path(name))


@pytest.mark.parametrize("stdin", [True, False])
def test_a_translation_is_written_where_a_link_leads(s2s, project, stdin):
    (project / "in").write_text("a b\n")
    (project / "link").symlink_to("out")
    source = [] if stdin else ["-i", project / "in"]
    found = s2s(
        "translate", "-d", project, *source, "-o", project / "link", stdin=b"c\n"
    )
    assert found.status == 0
    assert (project / "link").is_symlink()
    assert (project / "out").read_text() == ("C\n" if stdin else "A B\n")

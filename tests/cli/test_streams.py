"""What `s2s translate` reads and writes: files, standard streams, compressed text."""

import bz2
import gzip
import json
import lzma
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import zstandard

from pipelines.artifacts.corpus import read_lines
from pipelines.artifacts.layout import BEST
from pipelines.errors import Interrupted
from s2scli.output import can_be_replaced

ROOT = Path(__file__).parents[2]


@pytest.fixture
def model(project):
    return ["--model", project]


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Two sources in the current folder."""
    folder = tmp_path / "files"
    folder.mkdir()
    monkeypatch.chdir(folder)
    (folder / "one").write_text("a b\n\nc")
    (folder / "two").write_bytes(b"\xef\xbb\xbfd\r\ne f\n")
    return folder


ONE, TWO = ["A B", "", "C"], ["D", "E F"]


def text_of(path):
    return [line.decode() for line in read_lines(Path(path))]


def shell(command, folder):
    """Run a line of bash; `s2s` is this source."""
    return subprocess.run(
        ["bash", "-c", f's2s() {{ "{sys.executable}" -m s2scli "$@"; }}; {command}'],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (["one"], ONE),
        (["one", "two"], ONE + TWO),
        (["two", "-"], [*TWO, "F"]),
        (["-", "one"], ["F", *ONE]),
        (["-i", "-"], ["F"]),
        (["-"], ["F"]),
        (["-i", "one", "-o", "-"], ONE),
    ],
    ids=str,
)
def test_files_and_standard_input_are_read_as_one_text(
    s2s, model, files, arguments, lines
):
    found = s2s("translate", *model, *arguments, stdin=b"f\n")
    assert (found.status, found.lines) == (0, lines)
    assert not Path("-").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["one", "-i", "two"], "not both"),
        (["-", "-"], "named twice"),
        (["one", "missing"], "missing not found"),
        (["-i", "missing"], "missing not found"),
        (["."], ". is a folder"),
        (["one", "-o", "."], "output . is a folder"),
        (["one", "-o", "no/folder"], "there is no folder no"),
        (["one", "--split", "test"], "and files"),
    ],
    ids=str,
)
def test_mistakes_are_reported_before_a_model_is_loaded(s2s, files, arguments, message):
    """The model does not exist either, which would be reported with status 3."""
    result = s2s("translate", "-m", "no-model", *arguments)
    assert (result.status, result.out) == (2, "")
    assert message in " ".join(result.err.split())
    assert "no-model" not in result.err


@pytest.mark.parametrize("output", ["one", "./one", "link", "hard", "link.part"])
@pytest.mark.parametrize("form", ["-i", "positional"])
def test_a_translation_does_not_replace_its_source(s2s, model, files, output, form):
    Path("link").symlink_to("one")
    os.link("one", "hard")
    source = Path("x.part" if output == "link.part" else "one")
    if output == "link.part":
        Path("one").rename("x.part")
        output = "x"
    before = source.read_bytes()
    named = ["-i", source] if form == "-i" else ["two", source]
    found = s2s("translate", *model, *named, "-o", output)
    assert found.status == 2
    assert "are the same file" in found.err
    assert source.read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize(
    "redirection", ["-o one < one", "one >> one", "-o link - < one"]
)
def test_a_translation_does_not_replace_standard_input(project, files, redirection):
    Path("link").symlink_to("one")
    done = shell(f"s2s translate -m '{project}' {redirection}", files)
    assert done.returncode == 2
    assert "are the same file" in done.stderr
    assert text_of("one") == ["a b", "", "c"]


@pytest.mark.parametrize("suffix", [".gz", ".zst", ""])
@pytest.mark.parametrize("from_file", [True, False], ids=["file", "stream"])
def test_the_name_of_the_output_says_how_it_is_compressed(
    s2s, model, files, suffix, from_file
):
    source = ["one"] if from_file else []
    found = s2s("translate", *model, *source, "-o", f"out{suffix}", stdin=b"a b\n\nc\n")
    assert (found.status, found.out) == (0, "")
    assert text_of(f"out{suffix}") == ONE
    assert sorted(p.name for p in files.iterdir()) == ["one", f"out{suffix}", "two"]
    assert s2s("translate", *model, f"out{suffix}", "-o", "x").status == 0


def test_the_same_command_resumes_an_interrupted_translation(
    s2s, model, files, monkeypatch
):
    Path("one").write_text("a b\nc\n\nd e\nf a\nb\n" * 2)
    whole = s2s("translate", *model, "one", "two", "--nbest", 2).lines
    smallest = ["--set", "translate.batch_size=1"]  # chunks of 8 lines
    command = ["translate", *model, *smallest, "one", "two", "-o", "out", "--nbest", 2]
    fsync, record = os.fsync, files / "out.part.json"

    def stop_after_8_lines(descriptor):
        if record.exists() and json.loads(record.read_text())["inputs"] == 8:
            raise Interrupted
        fsync(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", stop_after_8_lines)
        assert s2s(*command).status == 130
    result = s2s(*command)
    assert "after 8 lines" in result.err
    assert text_of("out") == whole


COMPRESSED: dict[str, tuple[Any, str]] = {
    "gzip": (gzip.compress, "-i x.gz"),
    "Zstandard": (zstandard.compress, "-i x.zst"),
    "xz": (lzma.compress, "xzcat"),
    "bzip2": (bz2.compress, "bzcat"),
}


@pytest.mark.parametrize("kind", COMPRESSED)
def test_compressed_input_is_named_and_not_translated(s2s, model, files, kind):
    compress, hint = COMPRESSED[kind]
    data = compress(b"a b\n")
    found = s2s("translate", *model, stdin=data)
    assert (found.status, found.out) == (2, "")
    assert f"standard input is {kind}-compressed" in found.err
    assert hint in found.err
    Path("x.txt").write_bytes(data)
    found = s2s("translate", *model, "x.txt", "-o", "out")
    assert (found.status, found.out) == (2, "")
    assert f"x.txt is {kind}-compressed" in found.err
    assert sorted(p.name for p in files.iterdir()) == ["one", "two", "x.txt"]


@pytest.mark.slow
@pytest.mark.parametrize("source", ["< x.gz", "< <(cat x.gz)", "/dev/stdin < x.gz"])
def test_a_compressed_stream_is_named(project, files, source):
    Path("x.gz").write_bytes(gzip.compress(b"a b\n"))
    done = shell(f"s2s translate -q -m '{project}' {source}", files)
    assert (done.returncode, done.stdout) == (2, "")
    assert "is gzip-compressed, not text" in done.stderr


def test_a_damaged_file_is_found_before_a_line_is_translated(s2s, model, files):
    Path("x.gz").write_bytes(gzip.compress(os.urandom(10_000))[:-100])
    found = s2s("translate", *model, "x.gz")
    assert (found.status, found.out) == (2, "")
    assert "x.gz is damaged" in found.err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("redirection", "message"),
    [("<&-", "standard input is closed"), ("< one >&-", "standard output is closed")],
)
def test_a_closed_stream_is_one_clear_error(project, files, redirection, message):
    done = shell(f"s2s translate -m '{project}' {redirection}", files)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_with_streams_closed_files_are_still_translated(project, files):
    done = shell(f"s2s translate -m '{project}' one -o out <&- >&- 2>&-", files)
    assert done.returncode == 0
    assert text_of("out") == ONE
    done = shell(f"s2s config show -d '{project}' >&-", files)
    assert done.returncode == 2
    assert "standard output is closed" in done.stderr


@pytest.mark.slow
def test_a_folder_as_standard_input_is_an_error(project, files):
    done = shell(f"s2s translate -m '{project}' < .", files)
    assert done.returncode != 0
    assert "directory" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        "yes 'a b' | head -n 20000 | s2s translate -q -m PROJECT",
        "s2s score -q -d PROJECT",
        "s2s config show -d PROJECT",
        "s2s status -d PROJECT",
        "s2s --help",
        "s2s train --help",
    ],
)
def test_without_a_reader_a_command_ends_by_sigpipe(project, files, command):
    command = command.replace("PROJECT", f"'{project}'")
    done = shell(f"{command} | true; echo ${{PIPESTATUS[-2]}}", files)
    assert done.stdout == "141\n"
    assert done.stderr == ""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux")
def test_a_full_disk_under_standard_output_is_one_clear_error(project, files):
    done = shell(f"s2s config show -d '{project}' > /dev/full", files)
    assert done.returncode == 1
    assert "error: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_the_names_of_open_files_are_not_replaced():
    for name in ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "/dev/null"):
        assert not can_be_replaced(Path(name))


def test_mostly_unknown_tokens_are_warned_of(s2s, model):
    result = s2s("translate", *model, stdin=b"a\n\nzz yy c\nqq\n")
    assert "60 % of the input's tokens are not in the model's source" in result.err
    assert "WARNING" not in s2s("translate", *model, stdin=b"a b c d e zz\n").err


@pytest.mark.parametrize("name", ["best.json", "checkpoints", "latest.json"])
def test_a_model_may_be_named_in_many_ways(s2s, project, name):
    found = s2s("translate", "-m", project / "train" / name, stdin=b"a b\n")
    assert found.lines == ["A B"]


def test_a_project_without_a_best_checkpoint_translates_with_the_newest(s2s, project):
    (project / "train" / BEST).unlink()
    found = s2s("translate", "-m", project, stdin=b"a b\n")
    assert found.lines == ["A B"]
    assert "was validated yet; using step-00000800" in found.err

"""The hint of a missing file: it points to [data] only for files named there."""

import json
import shutil

import pytest

from tests.cli.conftest import init_arguments, write_corpus


@pytest.mark.parametrize(
    "arguments",
    [
        ["translate", "-q", "-i", "no-file"],
        ["score", "--ref", "no-file"],
        ["score", "--ref", "no-file", "-i", "no-file"],
    ],
)
def test_a_missing_file_of_the_command_line_has_no_hint_about_settings(
    s2s, project, arguments
):
    found = s2s(*arguments, "-d", project)
    assert found.status == 2
    assert "no-file not found" in found.err
    assert "[data]" not in found.err


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["preprocess", "--force"], "test.xx"),
        (["translate", "--split", "test", "--force"], "test.xx"),
        (["score", "--force"], "test.yy"),
    ],
)
def test_a_missing_file_of_the_settings_has_a_hint_about_them(
    s2s, project, command, name
):
    text = (project / "s2s.toml").read_text()
    gone = 'test = ["gone/test.xx", "gone/test.yy"]'
    lines = [gone if t.startswith("test =") else t for t in text.splitlines()]
    (project / "s2s.toml").write_text("\n".join(lines))
    found = s2s(*command, "-d", project)
    assert found.status == 2
    assert f"{name} not found" in found.err
    assert "hint: check [data] in s2s.toml" in found.err


def test_a_vocabulary_that_was_used_may_be_missing(s2s, tmp_path):
    data, demo = write_corpus(tmp_path / "data"), tmp_path / "demo"
    own = tmp_path / "own"
    own.write_text("".join(f"{letter}\n" for letter in "abcdef"))
    setting = f"preprocess.source_vocab={own}"
    s2s(*init_arguments(data, demo, setting, "train.max_steps=3"))
    assert s2s("run", "-q", "-d", demo).status == 0
    own.unlink()
    found = s2s("status", "-d", demo)
    assert (found.status, found.out.count("fresh")) == (0, 5)
    assert s2s("translate", "-d", demo, "--split", "test", "-b", "1").status == 0
    shutil.rmtree(demo / "preprocess")
    stages = {
        x["stage"]: x for x in json.loads(s2s("status", "-d", demo, "--json").out)
    }
    assert stages["train"]["state"] == "fresh"
    assert "own not found: only settings are compared" in str(stages["train"])
    found = s2s("preprocess", "-d", demo)
    assert found.status == 2
    assert "hint: check preprocess.source_vocab in s2s.toml" in found.err

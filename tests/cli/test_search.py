"""Searching, scoring and resuming, as a user calls them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from threading import Thread

import pytest

from tests.cli.conftest import init_arguments, write_corpus


@pytest.fixture
def model(project):
    """The project's model by itself, without the project."""
    return ["--model", project]


LINES = b"a b\n\nc\n"


def test_json_tells_the_log_probability_of_each_token(s2s, project, model):
    found = s2s("translate", *model, "--json", "--nbest", 2, stdin=LINES)
    rows = [json.loads(line) for line in found.lines]
    assert [row["line"] for row in rows] == [1, 2, 3]
    assert [row["text"] for row in rows] == ["A B", "", "C"]
    assert rows[1]["candidates"] == []
    for candidate in rows[0]["candidates"]:
        assert len(candidate["token_log_probs"]) == len(candidate["tokens"]) + 1
        assert sum(candidate["token_log_probs"]) == pytest.approx(candidate["log_prob"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--search", "wide"], "--search wide: expected standard or paper"),
        (["--unk", "maybe"], "expected one of allow, forbid or copy"),
        (["--length-penalty", "-1"], "--length-penalty -1: expected a number of at"),
        (["--precision", "fp8"], "precision"),
        (["--precision", "tf32", "--device", "cpu"], "tf32"),
        (["--model-weight", "1", "--model-weight", "2"], "1 model, 2 weights"),
        (["--model-weight", "-1"], "positive"),
    ],
)
def test_mistakes_are_refused_before_any_line_is_read(s2s, model, options, message):
    found = s2s("translate", *model, *options, stdin=LINES)
    assert (found.status, found.out) == (2, "")
    assert message in " ".join(found.err.split())


@pytest.mark.parametrize(
    "options",
    [
        ["--search", "paper"],
        ["--length-penalty", "average"],
        ["--unk", "copy"],
        ["--precision", "bf16"],
        ["--beam", 1],
    ],
    ids=str,
)
def test_every_way_to_search_translates(s2s, model, options):
    assert s2s("translate", *model, *options, stdin=LINES).lines == ["A B", "", "C"]


def test_a_beam_is_widened_to_the_nbest(s2s, project, model):
    found = s2s("translate", *model, "--beam", 2, "--nbest", 5, stdin=LINES)
    wide = s2s("translate", *model, "--beam", 5, "--nbest", 5, stdin=LINES)
    assert found.out == wide.out
    assert len(found.lines) == 10
    assert "beam 2 widened to 5 for the 5-best list" in found.err
    assert "widened" not in wide.err
    options = ["--beam", 2, "--nbest", 5]
    stage = s2s("translate", "-d", project, "--split", "test", *options)
    assert stage.status == 0
    assert "widened to 5" in stage.err
    assert "step-" in stage.err
    assert ", beam 5" in stage.err
    settings = json.loads((project / "translate/test/manifest.json").read_bytes())
    assert settings["settings"]["translate.beam"] == 2


def test_draws_are_those_of_the_line_and_the_seed(s2s, model, project):
    def sample(stdin, *settings):
        sets = [x for each in ("sample=true", *settings) for x in ("--set", each)]
        sets = [x if x == "--set" else f"translate.{x}" for x in sets]
        found = s2s("translate", *model, "--nbest", 4, *sets, "--json", stdin=stdin)
        assert found.status == 0, found.err
        assert "widened" not in found.err
        return [json.loads(line)["candidates"] for line in found.lines]

    first, blank, last = sample(LINES, "temperature=3")
    assert (len(first), blank, len(last)) == (4, [], 4)
    assert sample(b"c\na b\n", "temperature=3") == [last, first]
    assert sample(b"a b\n", "temperature=3", "seed=2") != [first]
    (greedy,) = json.loads(
        s2s("translate", *model, "--beam", 1, "--json", stdin=b"c").out
    )["candidates"]
    assert sample(b"c", "top_k=1") == [[greedy] * 4]
    assert all(
        len(each["tokens"]) == 7
        for each in sample(b"c", "temperature=3", "min_length=7", "max_length=7")[0]
    )


def test_the_stage_samples_and_is_stale_when_its_seed_changes(s2s, project):
    options = ["--set", "translate.sample=true"]
    found = s2s("translate", "-d", project, "--split", "test", *options)
    assert found.status == 0
    assert "sampling (temperature 1, seed 1)" in found.err
    manifest = json.loads((project / "translate/test/manifest.json").read_bytes())
    assert manifest["settings"]["translate.sample"] is True
    assert "translate.seed" not in manifest["settings"]
    options += ["--set", "translate.seed=2"]
    found = s2s("status", "-d", project, *options)
    assert "translate.seed: 1 -> 2" in found.out + found.err


def test_members_with_other_text_rules_do_not_vote_together(s2s, project, tmp_path):
    data = write_corpus(tmp_path / "data", (("train", 30), ("valid", 5), ("test", 5)))
    other = tmp_path / "other"
    s2s(*init_arguments(data, other, "train.max_epochs=1"))
    assert s2s("train", "-d", other).status == 0
    found = s2s("translate", "-m", project, "-m", other, stdin=LINES)
    assert (found.status, found.out) == (2, "")
    assert "cannot vote together" in found.err
    assert "source.vocab.tsv" in found.err


def test_a_pipe_and_a_device_are_read_and_written_as_they_are(s2s, model, tmp_path):
    pipe, output = tmp_path / "pipe", tmp_path / "out"
    os.mkfifo(pipe)
    for target in (output, "/dev/null"):
        writer = Thread(target=pipe.write_bytes, args=(LINES,))
        writer.start()
        assert s2s("translate", *model, "-i", pipe, "-o", target).status == 0
        writer.join()
    assert output.read_text() == "A B\n\nC\n"
    (tmp_path / "in").write_bytes(LINES)
    s2s("translate", *model, "-i", tmp_path / "in", "-o", "/dev/null")
    assert not Path("/dev/null").is_file()


@pytest.mark.slow
def test_one_sentence_needs_no_trainer_and_no_compiler(project):
    """What is imported decides how long a user waits for the first answer."""
    code = (
        "import sys\n"
        "sys.argv = ['s2s', 'translate', '-m', sys.argv[1]]\n"
        "from s2scli.main import main\n"
        "try:\n"
        "    main()\n"
        "except SystemExit:\n"
        "    pass\n"
        "heavy = ('torch._dynamo', 'sacrebleu', 'pipelines.trainer', 'sympy')\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, project],
        input=b"a b\n",
        capture_output=True,
        check=True,
    )
    assert found.stdout.decode().split("\n")[:2] == ["A B", "[]"]

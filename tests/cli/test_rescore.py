"""`s2s rescore` as a user calls it: with tiny random models, and in a project."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.artifacts.corpus import decoded_lines
from pipelines.artifacts.nbest import read_nbest
from pipelines.artifacts.vocab import SPECIALS, Vocabulary
from pipelines.config import Config
from pipelines.text import TextPipeline, TextSettings
from tests.golden_data import golden_path
from tests.search.tiny import write_model
from tests.small_corpus import make_pipe

LIST = """\
0 ||| A B C D E ||| lm: -3 ||| -1.5
0 ||| A B C D ||| lm: -2 ||| -2.5
2 ||| C ||| lm: -1 ||| -0.5
"""
REF = "A B C D\nx\nC\n"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Two checkpoints that were never trained."""
    folder = tmp_path_factory.mktemp("models")
    config = Config.model_validate({"preprocess": {"tokenizer": "none"}})
    source, target = (
        Vocabulary((*SPECIALS, *words), (0,) * 9) for words in ("abcdef", "ABCDEF")
    )
    pipeline = TextPipeline(TextSettings.from_config(config), source, target)
    return [write_model(folder, seed, pipeline) for seed in (1, 2)]


@pytest.fixture
def rescore(s2s, models, tmp_path, monkeypatch):
    """Run `s2s rescore` on a small list."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list").write_text(LIST)
    (tmp_path / "source").write_text("a b c\nb\nc\n")
    (tmp_path / "ref").write_text(REF)

    def run(*arguments, nbest="list", model=models[:1], **options):
        named = [option for path in model for option in ("-m", path)]
        both = {"--nbest": nbest, "--source": "source"}
        files = [x for pair in both.items() if pair[0] not in arguments for x in pair]
        return s2s("rescore", *files, *named, *arguments, **options)

    return run


def features(path):
    return {
        e.tokens: e.features["LSTM"][0] for _, found in read_nbest(path) for e in found
    }


def test_a_list_goes_to_standard_output(rescore):
    found = rescore("--weight", "0")
    assert found.status == 0
    assert [line.split(" ||| ")[:2] for line in found.lines] == [
        ["0", "A B C D E"],
        ["0", "A B C D"],
        ["2", "C"],
    ]
    assert [float(line.split(" ||| ")[3]) for line in found.lines] == [-1.5, -2.5, -0.5]
    assert all(" ||| lm= -" in line and " LSTM= -" in line for line in found.lines)
    assert "1 line of the source missing from the list: line 2" in found.err


def test_files_are_written_and_compared(rescore, tmp_path):
    (tmp_path / "list.gz").write_bytes(gzip.compress(LIST.encode()))
    found = rescore(
        *("-o", "new", "--best", "best", "--ref", "ref", "--weight", "1"),
        nbest="list.gz",
    )
    assert found.status == 0
    (baseline, rescored, oracle) = (
        line.split()
        for line in found.lines
        if line.startswith(("base", "resc", "orac"))
    )
    assert float(baseline[1]) < float(rescored[1])
    assert rescored[1] == oracle[1]
    assert "2 sentences, 3 hypotheses" in found.out
    assert "case:mixed|eff:no|tok:none|smooth:none" in found.out
    # A model that was never trained gives each further word less.
    assert (tmp_path / "best").read_text() == "A B C D\n\nC\n"
    new = list(read_nbest(tmp_path / "new"))
    assert [[e.tokens for e in group] for _, group in new] == [
        [tuple("ABCD"), tuple("ABCDE")],
        [("C",)],
    ]
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"best", "list", "list.gz", "new", "ref", "source"}


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_outputs_are_compressed_as_their_names_say(rescore, tmp_path, suffix):
    named, best = f"new.{suffix}", f"best.{suffix}"
    assert rescore("-o", "new", "--best", "best").status == 0
    assert rescore("-o", named, "--best", best).status == 0
    assert (tmp_path / named).read_bytes() != (tmp_path / "new").read_bytes()
    assert list(read_nbest(tmp_path / named)) == list(read_nbest(tmp_path / "new"))
    lines = (tmp_path / "best").read_text().splitlines()
    assert list(decoded_lines(tmp_path / best)) == lines


def test_the_list_keeps_its_own_scores(rescore, tmp_path):
    """A second run would mix the mean of the first with the model's score."""
    (tmp_path / "link").symlink_to("list")
    for name in ("list", "link"):
        found = rescore("-o", name)
        assert (found.status, found.out) == (2, "")
        assert f"output {name} and input list are the same file" in found.err
    assert (tmp_path / "list").read_text() == LIST


@pytest.mark.parametrize("name", ["list", "source", "ref"])
def test_standard_output_does_not_replace_an_input(rescore, models, tmp_path, name):
    before = (tmp_path / name).read_bytes()
    arguments = ["--nbest", "list", "--source", "source", "--ref", "ref"]
    command = [sys.executable, "-m", "s2scli", "rescore", "-m", models[0], *arguments]
    with (tmp_path / name).open("ab") as output:
        done = subprocess.run(
            command, stdout=output, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 2
    assert f"standard output and input {name} are the same file" in done.stderr
    assert (tmp_path / name).read_bytes() == before


def test_the_best_tokens_may_go_to_standard_output(rescore, tmp_path):
    assert rescore("-o", "new", "--best", "best", "--weight", "1").status == 0
    found = rescore(
        *("-o", "new", "--best", "-", "--weight", "1", "--ref", "ref", "--json")
    )
    assert found.out == (tmp_path / "best").read_text()
    assert '"oracle"' in found.err


def test_the_comparison_leaves_standard_output_to_the_list(rescore):
    found = rescore("--ref", "ref", "--lowercase")
    assert len(found.lines) == 3
    assert "oracle" in found.err
    assert "case:lc" in found.err
    found = rescore("--ref", "ref", "--json", "-q", "-o", "-")
    assert len(found.lines) == 3
    assert json.loads(found.err[found.err.index("{") :])["hypotheses"] == 3


def test_the_comparison_is_json_when_asked(rescore):
    found = json.loads(rescore("--ref", "ref", "--json", "-o", "new").out)
    assert found["baseline"] < found["oracle"]
    assert (found["sentences"], found["hypotheses"]) == (2, 3)
    assert found["signature"].startswith("nrefs:1|case:mixed")


def test_several_references_are_compared_with(rescore, tmp_path):
    (tmp_path / "other").write_text("A B C D E\n\n\n")
    one = json.loads(rescore("--ref", "ref", "--json", "-o", "new").out)
    files = ("--ref", "ref", "-r", "other")
    found = json.loads(rescore(*files, "--json", "-o", "new").out)
    assert found["signature"].startswith("nrefs:var|case:mixed")
    assert found["baseline"] > one["baseline"]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("list", ["--nbest", "-", "--source", "source"]),
        ("source", ["--nbest", "list", "--source", "-"]),
        ("ref", ["--nbest", "list", "--source", "source", "--ref", "-"]),
    ],
)
def test_any_one_input_may_be_standard_input(
    s2s, rescore, models, tmp_path, name, arguments
):
    expected = rescore("--ref", "ref").out
    standard_input = (tmp_path / name).read_bytes()
    found = s2s("rescore", "-m", models[0], *arguments, stdin=standard_input)
    assert (found.status, found.out) == (0, expected)


def test_a_list_in_a_pipe_is_read_once(rescore, tmp_path):
    expected = rescore("--ref", "ref").out
    path = make_pipe(tmp_path / "pipe", LIST.encode())
    result = rescore("--ref", "ref", nbest=path)
    assert (result.status, result.out) == (0, expected)


def test_a_bad_line_of_standard_input_is_named(rescore):
    found = rescore(nbest="-", stdin=b"0 ||| a\n")
    assert (found.status, found.out) == (2, "")
    assert "standard input:1: expected id ||| tokens" in found.err
    found = rescore(nbest="-", stdin=LIST.replace("2 |", "3 |").encode())
    assert "standard input: sentence 3, but the source has 3 lines" in found.err


def test_the_comparison_is_cased_whatever_the_projects_model_is(rescore, tmp_path):
    (tmp_path / "s2s.toml").write_text("[preprocess]\nlowercase = true\n")
    (tmp_path / "ref").write_text(REF.lower())
    arguments = ("--ref", "ref", "--json", "-o", "new")
    assert "case:mixed" in rescore(*arguments).out
    assert "case:lc" in rescore(*arguments, "--lowercase").out


def test_models_vote_with_their_weights(rescore, models, tmp_path):
    def found(*arguments, **options):
        assert rescore("-o", "new", *arguments, **options).status == 0
        return features(tmp_path / "new")

    weights = ("--model-weight", "1", "--model-weight", "1e-9")
    one, even = found(), found(model=models)
    assert even != one
    assert found(*weights, model=models) == pytest.approx(one, abs=1e-5)
    assert found("--precision", "int8") == pytest.approx(one, abs=0.5)


def test_unknown_tokens_are_told_and_tokenize_hinted_at(rescore, tmp_path):
    (tmp_path / "list").write_text(LIST.replace("B C", "Bb Cc"))
    found = rescore()
    assert "40 % of the list's tokens are not in" in found.err
    assert "--tokenize" in found.err
    assert "--tokenize" not in rescore("--tokenize").err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--weight", "1.5"], "--weight"),
        (["--weight", "-0.1"], "--weight"),
        (["--weight", "nan"], "--weight"),
        (["--json"], "--json goes with --ref"),
        (["--lowercase"], "--lowercase/--cased goes with --ref"),
        (["--cased"], "--lowercase/--cased goes with --ref"),
        (["-o", "x", "--best", "x"], "output x and output x are the same file"),
        (["-o", "source"], "output source and input source are the same file"),
        (["-o", "ref", "--ref", "ref"], "output ref and input ref are the same file"),
        (["-o", "no-folder/x"], "there is no folder no-folder"),
        (["--best", "."], "output . is a folder"),
        (["--best", "list"], "output list and input list are the same file"),
        (["--best", "-"], "the list and --best both go to standard output"),
        (["--best", "-", "-o", "-"], "--best both go to standard output"),
        (["--ref", "-", "--ref", "-"], "standard input (-) is named twice"),
        (["--source", "-", "--ref", "-"], "standard input (-) is named twice"),
        (["--model-weight", "1", "--model-weight", "2"], "1 model, 2 weights"),
        (["--model-weight", "nan"], "expected positive numbers"),
        (["--length-penalty", "-1"], "translate.length_penalty"),
        (["--precision", "int4"], "--precision int4: expected one of auto"),
        (["--device", "gpu"], "--device gpu: expected auto"),
        (["--ref", "list"], "source has 3 lines"),
        (["--ref", "no-such"], "no-such"),
        (["--source", "no-such"], "no-such"),
        (["--nbest", "no-such"], "no-such"),
        (["--nbest", "ref"], "ref:1: expected id ||| tokens"),
    ],
)
def test_mistakes_are_refused(rescore, tmp_path, arguments, message):
    if arguments == ["--ref", "list"]:
        (tmp_path / "list").write_text(LIST + LIST.replace("0 |", "2 |"))
    found = rescore(*arguments)
    assert found.status == 2
    assert message in " ".join(found.err.split())
    assert found.out == ""
    assert not (tmp_path / "x").exists()


def test_a_weight_needs_a_model(rescore):
    found = rescore("--model-weight", "1", model=[])
    assert found.status == 2
    assert "--model-weight goes with --model" in found.err


def test_a_list_of_another_source_is_refused_before_any_work(rescore, tmp_path):
    (tmp_path / "source").write_text("a\n")
    (tmp_path / "new").write_text("old\n")
    found = rescore("-o", "new")
    assert found.status == 2
    assert "list: sentence 2, but the source has 1 line\n" in found.err
    assert (tmp_path / "new").read_text() == "old\n"


def test_a_device_is_written_and_not_replaced(rescore):
    assert rescore("-o", os.devnull).status == 0
    assert not Path(os.devnull).is_file()


def test_a_real_list_of_moses_is_rescored(rescore, tmp_path):
    path, ref = (golden_path(f"nbest-europarl/{n}") for n in ("nbest.gz", "ref.en.gz"))
    (tmp_path / "source").write_text("a b c\n" * 100)
    found = rescore(
        *("-o", "new", "--ref", ref, "--lowercase", "--json", "--weight", "0"),
        nbest=path,
    )
    scores = json.loads(found.out)
    assert scores["baseline"] == scores["rescored"] == pytest.approx(11.10, abs=0.005)
    assert scores["oracle"] > 14
    assert "of the list's tokens are not in the model's vocabulary" in found.err
    for (_, new), (_, old) in zip(
        read_nbest(tmp_path / "new"), read_nbest(path), strict=True
    ):
        assert [(e.tokens, e.score) for e in new] == [(e.tokens, e.score) for e in old]


@pytest.mark.slow
def test_the_projects_best_model_finds_its_own_scores_again(s2s, project, tmp_path):
    lines = b"a b\n\nf\nc d e\n"
    (tmp_path / "source").write_bytes(lines)
    options = ("-d", project, "-q", "--set", "translate.precision=fp32")
    nbest = s2s("translate", *options, "--nbest", "5", stdin=lines)
    (tmp_path / "list").write_text(nbest.out)
    files = ("--nbest", tmp_path / "list", "--source", tmp_path / "source")
    found = s2s(
        *("rescore", *options, *files, "-o", tmp_path / "new", "--weight", "1"),
        *("--best", tmp_path / "best"),
    )
    assert found.status == 0
    old, new = features(tmp_path / "list"), features(tmp_path / "new")
    assert old.keys() == new.keys()
    assert new == pytest.approx(old, abs=2e-6)
    assert (tmp_path / "best").read_text() == "A B\n\nF\nC D E\n"


def test_the_list_and_the_best_are_not_mixed_on_standard_output(rescore, tmp_path):
    for options in (["--best", "-"], ["--best", "-", "-o", "-"]):
        found = rescore(*options)
        assert (found.status, found.out) == (2, "")
        assert "the list and --best both go to standard output" in found.err
    found = rescore("--best", "-", "-o", "new", "--ref", "ref")
    assert found.status == 0
    assert len(found.lines) == 3
    assert "baseline" in found.err
    assert (tmp_path / "new").exists()

"""`s2s score` as a user calls it: texts, several references, pairs of lines."""

import json
import math

import pytest

PLAIN = ("--set", "score.bootstrap_samples=0")


@pytest.fixture
def score(s2s, tmp_path, monkeypatch):
    """Run `s2s score` in a folder with small files."""
    monkeypatch.chdir(tmp_path)
    for name, text in {
        "hyp": "a b c d\nx y\n",
        "one": "a b c e\nx y\n",
        "two": "a b c d\n\n",
        "upper": "A B C D\nX Y\n",
        "blank": "\n\n",
        "empty": "",
    }.items():
        (tmp_path / name).write_text(text)
    return lambda *arguments, **options: s2s("score", *arguments, *PLAIN, **options)


def signatures(result):
    return {m["signature"] for m in json.loads(result.out)["metrics"]}


def value(result, name):
    metrics = json.loads(result.out)["metrics"]
    return {m["name"]: m["value"] for m in metrics}[name]


def test_several_references_are_all_used(score):
    one = score("hyp", "--ref", "one", "--json")
    two = score("hyp", "--ref", "one", "-r", "two", "--json")
    assert value(one, "exact_match") == 50
    assert value(two, "exact_match") == 100
    assert all(text.startswith("nrefs:1|") for text in signatures(one))
    assert all(text.startswith("nrefs:var|") for text in signatures(two))
    shown = score("hyp", "--ref", "one", "-r", "two").out
    assert "2 lines, 6 tokens against 6 in the first reference\n" in shown
    shown = score("hyp", "--ref", "one").out
    assert "2 lines, 6 tokens against 6 in the reference\n" in shown


def test_several_references_have_intervals(s2s, score):
    sets = ("--set", "score.bootstrap_samples=20")
    result = s2s("score", "hyp", "--ref", "one", "--ref", "one", "--json", *sets)
    assert all(text.startswith("nrefs:2|bs:20|") for text in signatures(result))
    for metric in json.loads(result.out)["metrics"]:
        assert metric["low"] <= metric["value"] <= metric["high"]


def test_the_translation_comes_by_name_or_on_standard_input(score, tmp_path):
    text = (tmp_path / "hyp").read_bytes()
    named = score("hyp", "--ref", "one").out
    assert named == score("-i", "hyp", "--ref", "one").out
    assert named == score("--ref", "one", stdin=text).out
    assert named == score("-", "--ref", "one", stdin=text).out
    assert named == score("-i", "-", "--ref", "one", stdin=text).out
    reference = (tmp_path / "one").read_bytes()
    assert named == score("hyp", "--ref", "-", stdin=reference).out


def test_it_says_what_the_tokenised_metrics_count(s2s, score, project):
    words = "tokenised: the lines' own words, between spaces"
    assert words in score("hyp", "--ref", "one").lines
    result = s2s("score", "-d", project)
    words = "the decoder's own tokens; the reference's words between spaces"
    assert f"tokenised: {words}" in result.lines
    assert "tokenised: " not in s2s("score", "-d", project, "--json").out


def test_files_are_cased_whatever_the_projects_model_is(score, tmp_path):
    (tmp_path / "s2s.toml").write_text("[preprocess]\nlowercase = true\n")
    assert value(score("hyp", "--ref", "upper", "--json"), "exact_match") == 0
    lower = score("hyp", "--ref", "upper", "--json", "--lowercase")
    assert value(lower, "exact_match") == 100
    (tmp_path / "s2s.toml").write_text("[score]\nlowercase = true\n")
    result = score("hyp", "--ref", "upper", "--json")
    assert value(result, "exact_match") == 100
    assert all("case:lc" in text for text in signatures(result))
    cased = score("hyp", "--ref", "upper", "--json", "--cased")
    assert value(cased, "exact_match") == 0


PAIRS_HINT = "s2s score --source SRC --target TGT"


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["hyp"], "hyp: no --ref to score it against", "s2s score hyp --ref REF"),
        (["-i", "hyp"], "hyp: no --ref", "s2s score hyp --ref REF"),
        (["hyp", "-i", "two", "--ref", "one"], "two translations", "HYP --ref REF"),
        (["none", "--ref", "one"], "none not found", ""),
        (["hyp", "--ref", "one", "--ref", "none"], "none not found", ""),
        (["--ref", "-"], "standard input (-) is named twice", "name a file"),
        (
            ["hyp", "-r", "-", "-r", "-"],
            "standard input (-) is named twice",
            "name a file",
        ),
        (["hyp", "--ref", "one", "--force"], "--force has no meaning", "leave it out"),
        (["empty", "--ref", "one"], "empty is empty", "s2s score HYP --ref REF"),
        (["--ref", "one"], "standard input is empty", "s2s score HYP --ref REF"),
        (["blank", "--ref", "one"], "blank has 2 lines, none with text", "fail"),
        (["--source", "hyp", "--ref", "one"], "--ref does not go with", PAIRS_HINT),
        (["--source", "hyp"], "--source needs --target", PAIRS_HINT),
        (["--target", "hyp"], "--target needs --source", PAIRS_HINT),
        (
            ["--source", "-", "--target", "-"],
            "standard input (-) is named twice",
            "name a file",
        ),
        (["--source", "hyp", "--target", "none"], "none not found", ""),
        (["--source", "hyp", "--target", "one", "--force"], "--force does", PAIRS_HINT),
        (["--source", "hyp", "--target", "one", "--cased"], "--cased does", PAIRS_HINT),
        (["two", "--source", "hyp", "--target", "one"], "a translation", PAIRS_HINT),
        (["-m", "x"], "--model, --model-weight", "s2s translate -m MODEL < SRC"),
        (["-m", "x", "--ref", "one"], "need --source and --target", PAIRS_HINT),
        (["--device", "cpu"], "need --source and --target", PAIRS_HINT),
        (["-s", "hyp"], "-s is not an option of s2s score", ""),
    ],
)
def test_contradicting_options_are_refused_with_a_hint(score, arguments, message, hint):
    result = score(*arguments)
    assert (result.status, result.out) == (2, "")
    text = " ".join(result.err.split())
    assert message in text
    assert hint in text


LINES = b"a b\n\nc\n"


@pytest.fixture
def pairs(tmp_path):
    (tmp_path / "src").write_bytes(LINES)
    (tmp_path / "tgt").write_text("A B\n\nzz\n")
    return ["--source", tmp_path / "src", "--target", tmp_path / "tgt"]


def test_pairs_are_scored_as_the_search_scores_them(s2s, project, pairs):
    result = s2s("score", "--model", project, *pairs)
    assert [line.split("\t")[1] for line in result.lines] == ["3", "1", "2"]
    first = s2s("translate", "-m", project, "--json", stdin=LINES).lines[0]
    best = json.loads(first)["candidates"][0]["log_prob"]
    assert float(result.lines[0].split("\t")[0]) == pytest.approx(best, abs=1e-6)
    assert "3 pairs, 6 tokens (1 unknown)" in result.err


def test_json_lines_end_with_the_total_of_the_pairs(s2s, project, pairs):
    result = s2s("score", "-d", project, *pairs, "--json")
    *rows, last = [json.loads(line) for line in result.lines]
    assert [row.pop("line") for row in rows] == [1, 2, 3]
    assert [row["num_tokens"] for row in rows] == [3, 1, 2]
    assert [row["num_unknown"] for row in rows] == [0, 0, 1]
    assert all(row.keys() == {"log_prob", "num_tokens", "num_unknown"} for row in rows)
    total = last.pop("total")
    assert last == {}
    log_prob = sum(row["log_prob"] for row in rows)
    assert total.pop("log_prob") == pytest.approx(log_prob)
    assert total.pop("perplexity") == pytest.approx(math.exp(-log_prob / 6))
    assert total == {"num_tokens": 6, "num_unknown": 1, "num_pairs": 3}


def test_one_side_of_the_pairs_may_be_standard_input(s2s, project, pairs):
    expected = s2s("score", "--model", project, *pairs).out
    piped = ["--source", "-", *pairs[2:]]
    assert s2s("score", "--model", project, *piped, stdin=LINES).out == expected


def test_pairs_must_be_pairs(s2s, project, pairs, tmp_path):
    (tmp_path / "tgt").write_text("A B\n")
    result = s2s("score", "--model", project, *pairs)
    assert result.status == 2
    assert "tgt has 1 line," in result.err

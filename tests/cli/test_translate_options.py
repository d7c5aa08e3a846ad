"""The options of `s2s translate` that set how translations are made."""

import json

import pytest

LINES = b"a b\n\nc\n"


@pytest.fixture
def translate(s2s, project):
    def run(*options, stdin=LINES):
        return s2s("translate", "-m", project, *options, stdin=stdin)

    return run


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        (["--min-length", 4], ["min_length=4"]),
        (["--max-length", 1], ["max_length=1"]),
        (["--sample", "--temperature", 3], ["sample=true", "temperature=3"]),
        (
            ["--sample", "--temperature", 3, "--seed", 7, "--top-k", 4],
            ["sample=true", "temperature=3", "seed=7", "top_k=4"],
        ),
        (["--sample", "--nbest", 3], ["sample=true", "nbest=3"]),
    ],
    ids=str,
)
def test_an_option_is_the_setting_of_its_name(translate, options, settings):
    found = translate("--json", *options)
    assert found.status == 0
    sets = [x for text in settings for x in ("--set", f"translate.{text}")]
    assert translate("--json", *sets).out == found.out


def test_lengths_hold(translate):
    options = ["--json", "--min-length", 3, "--max-length", 4]
    rows = [json.loads(line) for line in translate(*options).lines]
    lengths = [len(row["candidates"][0]["tokens"]) for row in rows if row["candidates"]]
    assert len(lengths) == 2
    assert all(3 <= length <= 4 for length in lengths)


def test_another_seed_draws_another_translation(translate):
    options = ["--sample", "--temperature", 5, "--nbest", 4]
    first, again, other = (
        translate(*options, "--seed", seed).out for seed in (1, 1, 2)
    )
    assert first == again != other


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--top-k", 3], "go with --sample"),
        (["--temperature", 0.5], "go with --sample"),
        (["--seed", 3], "go with --sample"),
        (["--sample", "--beam", 3], "no meaning with --sample"),
        (["--sample", "--search", "paper"], "no meaning with --sample"),
        (["--sample", "--temperature", 0], "temperature"),
        (["--min-length", 5, "--max-length", 4], "min_length (5) exceeds max_length"),
        (["--min-length", -1], "--min-length"),
    ],
    ids=str,
)
def test_options_that_would_do_nothing_are_refused(translate, options, message):
    found = translate(*options)
    assert (found.status, found.out) == (2, "")
    assert message in " ".join(found.err.split())


def test_sampling_that_is_set_takes_the_options_that_go_with_it(translate):
    found = translate("--set", "translate.sample=true", "--seed", 3)
    assert found.status == 0
    assert len(found.lines) == 3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.metrics.accuracy import exact_match, token_error_rate
from pipelines.metrics.bootstrap import Resampling


def edit_distance(one, other):
    """The table of Wagner and Fischer, row by row."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, start=1):
        above = row
        row = [i]
        for j, b in enumerate(other, start=1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (a != b)))
    return row[-1]


@pytest.mark.parametrize(
    ("one", "other", "edits"),
    [
        ("a b c", "a b c", 0),
        ("k i t t e n", "s i t t i n g", 3),
        ("a b " * 100, "b a " * 100, 2),
        ("ab a b", "a b ab", 2),  # whole tokens are compared
        ("97 é", "a e\u0301", 2),
    ],
)
def test_known_numbers_of_edits(one, other, edits):
    result = token_error_rate([one], [other])
    assert result.value == pytest.approx(100 * edits / len(other.split()))


# Tokens of one and of several characters, which rapidfuzz hashes in different ways.
sentences = st.lists(st.sampled_from(["a", "b", "é", "ab", "-1", "x" * 40]), max_size=9)


@given(sentences, sentences, st.lists(sentences, max_size=3))
def test_edits_are_those_of_the_table(hyp, ref, others):
    edits, longest = min((edit_distance(r, hyp), -len(r)) for r in [ref, *others])
    columns = [[" ".join(r), "w"] for r in [ref, *others]]
    result = token_error_rate([" ".join(hyp), "w"], *columns)
    assert result.value == pytest.approx(100 * edits / (1 - longest))


def test_exact_match_counts_whole_lines():
    result = exact_match(["a b", "A c ", "", "x"], ["a b", "a c", "", "y"])
    assert (result.name, result.value) == ("exact_match", 50.0)
    assert result.signature == "nrefs:1|case:mixed|unit:line"
    result = exact_match(
        ["a b", "A c ", "", "x"], ["a b", "a c", "", "y"], lowercase=True
    )
    assert result.value == 75.0
    assert result.signature == "nrefs:1|case:lc|unit:line"


def test_token_error_rate_counts_edits_per_reference_token():
    result = token_error_rate(["a x c", "", "e"], ["a b c", "d", "e f"])
    assert (result.name, result.value) == ("token_error_rate", 50.0)
    assert result.signature == "nrefs:1|case:mixed|unit:token"
    assert token_error_rate(["A"], ["a"]).value == 100.0
    assert token_error_rate(["A"], ["a"], lowercase=True).value == 0.0


@pytest.mark.parametrize(
    ("hyp", "ref", "value"),
    [("a b c", "a", 200.0), ("", "", 0.0), ("a", "", 100.0), ("", "a", 100.0)],
)
def test_token_error_rate_at_its_edges(hyp, ref, value):
    assert token_error_rate([hyp], [ref]).value == value


def test_any_reference_may_be_matched():
    hyp, refs = ["a", "b ", "c", "D"], (["x", "b", "y", "d"], ["a", None, "z", None])
    result = exact_match(hyp, *refs)
    assert result.value == 50.0
    assert result.signature == "nrefs:var|case:mixed|unit:line"
    assert exact_match(hyp, *refs, lowercase=True).value == 75.0
    twice = exact_match(hyp, refs[0], refs[0], resampling=Resampling(10, seed=3))
    assert twice.signature == "nrefs:2|bs:10|seed:3|case:mixed|unit:line"
    assert exact_match(hyp, refs[0], [None] * 4).signature.startswith("nrefs:1|")


@pytest.mark.parametrize(
    ("hyp", "refs", "edits", "length"),
    [
        ("a b c", ["a b d", "a b c d"], 1, 4),  # of as many edits, the longest
        ("a b c", ["a b c d", "a b d"], 1, 4),  # in any order
        ("a", ["b", "a b c d e f g h i"], 1, 1),  # fewest edits, not the lowest rate
        ("", ["a b", ""], 0, 0),
        ("A", ["b b", "a"], 1, 1),
    ],
)
def test_the_token_error_rate_takes_the_nearest_reference(hyp, refs, edits, length):
    columns = [[ref, "w x y z"] for ref in refs]
    result = token_error_rate([hyp, "w x y z"], *columns)
    assert result.value == pytest.approx(100 * edits / (length + 4))
    assert result.signature == "nrefs:2|case:mixed|unit:token"


def test_a_line_may_have_fewer_references():
    result = token_error_rate(["a b", "c d"], ["a x", "c y"], ["a b", None])
    assert result.value == pytest.approx(100 / 4)
    assert result.signature == "nrefs:var|case:mixed|unit:token"


def test_intervals_enclose_the_value_and_follow_the_seed():
    hyp, ref = ["a"] * 50 + ["b"] * 50, ["a"] * 100
    result = exact_match(hyp, ref, resampling=Resampling(200, seed=3))
    assert result.low is not None
    assert result.high is not None
    assert result.low < 50 < result.high
    assert result.signature == "nrefs:1|bs:200|seed:3|case:mixed|unit:line"
    assert result == exact_match(hyp, ref, resampling=Resampling(200, seed=3))
    assert result != exact_match(hyp, ref, resampling=Resampling(200, seed=4))

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.metrics.bootstrap import Resampling, interval
from pipelines.metrics.token_errors import edit_distance, exact_match, token_error_rate


def naive_distance(one, other):
    """The table of Wagner and Fischer, row by row."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, start=1):
        above = row
        row = [i]
        for j, b in enumerate(other, start=1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (a != b)))
    return row[-1]


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [
        ("", "", 0),
        ("", "abc", 3),
        ("abc", "", 3),
        ("kitten", "sitting", 3),
        ("abc", "abc", 0),
        ("ab" * 100, "ba" * 100, 2),
    ],
)
def test_known_edit_distances(one, other, distance):
    assert edit_distance(one, other) == distance


sequences = st.lists(st.integers(0, 3), max_size=20)


@given(sequences, sequences)
def test_the_edit_distance_is_that_of_the_table(one, other):
    assert edit_distance(one, other) == naive_distance(one, other)
    assert edit_distance(other, one) == edit_distance(one, other)


def test_exact_match_counts_whole_lines():
    found = exact_match(["a b", "A c ", "", "x"], ["a b", "a c", "", "y"])
    assert (found.name, found.value) == ("exact_match", 50.0)
    assert found.signature == "nrefs:1|case:mixed|unit:line"
    found = exact_match(
        ["a b", "A c ", "", "x"], ["a b", "a c", "", "y"], lowercase=True
    )
    assert found.value == 75.0
    assert found.signature == "nrefs:1|case:lc|unit:line"


def test_token_error_rate_counts_edits_per_reference_token():
    found = token_error_rate(["a x c", "", "e"], ["a b c", "d", "e f"])
    assert (found.name, found.value) == ("token_error_rate", 50.0)
    assert found.signature == "nrefs:1|case:mixed|unit:token"
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
    found = exact_match(hyp, *refs)
    assert found.value == 50.0
    assert found.signature == "nrefs:var|case:mixed|unit:line"
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
    found = token_error_rate([hyp, "w x y z"], *columns)
    assert found.value == pytest.approx(100 * edits / (length + 4))
    assert found.signature == "nrefs:2|case:mixed|unit:token"


def test_a_line_may_have_fewer_references():
    found = token_error_rate(["a b", "c d"], ["a x", "c y"], ["a b", None])
    assert found.value == pytest.approx(100 / 4)
    assert found.signature == "nrefs:var|case:mixed|unit:token"


def test_intervals_enclose_the_value_and_follow_the_seed():
    hyp, ref = ["a"] * 50 + ["b"] * 50, ["a"] * 100
    found = exact_match(hyp, ref, resampling=Resampling(200, seed=3))
    assert found.low is not None
    assert found.high is not None
    assert found.low < 50 < found.high
    assert found.signature == "nrefs:1|bs:200|seed:3|case:mixed|unit:line"
    assert found == exact_match(hyp, ref, resampling=Resampling(200, seed=3))
    assert found != exact_match(hyp, ref, resampling=Resampling(200, seed=4))


def test_an_interval_leaves_out_a_fortieth_at_each_end():
    assert interval(list(range(80, 0, -1))) == (3, 78)
    assert interval([5.0]) == (5.0, 5.0)

import pytest

from pipelines.wording import plural


@pytest.mark.parametrize(
    ("number", "nouns", "text"),
    [
        (0, ("shard",), "0 shards"),
        (1, ("shard",), "1 shard"),
        (2, ("shard",), "2 shards"),
        (29_000, ("pair",), "29,000 pairs"),
        (1, ("entry", "entries"), "1 entry"),
        (3, ("entry", "entries"), "3 entries"),
        (1.0, ("epoch",), "1 epoch"),
        (7.5, ("epoch",), "7.5 epochs"),
    ],
)
def test_a_noun_follows_its_number(number, nouns, text):
    assert plural(number, *nouns) == text

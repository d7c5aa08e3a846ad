import pickle
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.artifacts.files import sha256_file
from pipelines.artifacts.vocab import (
    EOS,
    PAD,
    SPECIALS,
    UNK,
    Vocabulary,
    build_vocab,
    count_listed,
    read_token_list,
    read_vocab,
    replace_specials,
    write_vocab,
)
from pipelines.errors import CorpusError, CorruptArtifactError

COUNTS = Counter({"b": 3, "a": 3, "é": 3, "c": 5, "rare": 1, "</s>": 4})


def test_the_special_symbols_have_fixed_ids():
    assert SPECIALS == ("<pad>", "<unk>", "</s>")
    assert (PAD, UNK, EOS) == (0, 1, 2)


def test_tokens_are_sorted_by_count_and_then_by_bytes():
    vocabulary = build_vocab(COUNTS, size=100)
    assert vocabulary.tokens == (*SPECIALS, "c", "a", "b", "é", "rare")
    assert vocabulary.counts == (0, 0, 4, 5, 3, 3, 3, 1)
    assert vocabulary.counts[UNK] == 0


@pytest.mark.parametrize(
    ("size", "min_count", "tokens", "num_unknown"),
    [
        (4, 1, ("c",), 10),
        (5, 1, ("c", "a"), 7),
        (100, 2, ("c", "a", "b", "é"), 1),
        (100, 5, ("c",), 10),
    ],
)
def test_size_and_min_count_leave_tokens_out(size, min_count, tokens, num_unknown):
    vocabulary = build_vocab(COUNTS, size=size, min_count=min_count)
    assert vocabulary.tokens[3:] == tokens
    assert vocabulary.counts[UNK] == num_unknown


@pytest.mark.parametrize(
    ("counts", "size", "min_count"),
    [
        (COUNTS, 3, 1),
        (COUNTS, 0, 1),
        (COUNTS, 100, 6),
        (Counter({"</s>": 5, "<unk>": 2}), 100, 1),
    ],
)
def test_a_vocabulary_without_any_token_is_refused(counts, size, min_count):
    with pytest.raises(CorpusError, match="no token is left"):
        build_vocab(counts, size=size, min_count=min_count)


def test_literal_special_symbols_are_counted_as_unk():
    counts = Counter({"a": 2, "<pad>": 9, "<unk>": 7, "</s>": 1})
    vocabulary = build_vocab(counts, size=10)
    assert vocabulary.tokens == (*SPECIALS, "a")
    assert vocabulary.counts[UNK] == 7


def test_unknown_tokens_become_unk():
    vocabulary = build_vocab(COUNTS, size=100)
    assert vocabulary.ids(["c", "nowhere", "</s>"]) == [3, UNK, EOS]


tokens = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\t\n"), min_size=1
)
counters = st.dictionaries(
    tokens.filter(lambda token: token not in SPECIALS),
    st.integers(1, 100),
    min_size=1,
).map(Counter)


@given(counters)
def test_ids_and_tokens_are_inverse(counts):
    vocabulary = build_vocab(counts, size=len(counts) + 3)
    words = list(counts)
    assert vocabulary.tokens_of(vocabulary.ids(words)) == words
    assert len(vocabulary) == len(counts) + 3


@given(counts=counters)
def test_a_vocabulary_reads_as_it_was_written(tmp_path_factory, counts):
    path = tmp_path_factory.mktemp("vocab") / "source.vocab.tsv"
    vocabulary = build_vocab(counts, size=100)
    write_vocab(path, vocabulary)
    assert read_vocab(path) == vocabulary
    assert sha256_file(path) == vocabulary.sha256


def test_the_file_is_one_token_and_its_count_a_line(tmp_path):
    write_vocab(tmp_path / "v", Vocabulary((*SPECIALS, "a"), (0, 1, 2, 3)))
    text = (tmp_path / "v").read_text()
    assert text == "<pad>\t0\n<unk>\t1\n</s>\t2\na\t3\n"


HEAD = "<pad>\t0\n<unk>\t0\n</s>\t1\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD + "▁the\t-3.5\n", ":4: expected token<TAB>count, found '▁the\\\\t-3.5'"),
        (HEAD + "a\n", ":4: expected token<TAB>count, found 'a'"),
        (HEAD + "a\t\n", ":4: expected"),
        ("a\t1\n", "starts with"),
        ("", "starts with"),
    ],
)
def test_a_file_that_is_not_a_vocabulary_is_refused(tmp_path, text, message):
    (tmp_path / "v").write_text(text, encoding="utf-8")
    with pytest.raises(CorruptArtifactError, match=message):
        read_vocab(tmp_path / "v")


def test_a_sentencepiece_vocabulary_is_refused_with_a_hint(tmp_path):
    (tmp_path / "v").write_text("<unk>\t0\n<s>\t0\n▁the\t-3.1\n", encoding="utf-8")
    with pytest.raises(CorruptArtifactError) as caught:
        read_vocab(tmp_path / "v")
    assert "SentencePiece .vocab file holds scores" in caught.value.hint


def test_the_hash_is_computed_once():
    vocabulary = build_vocab(COUNTS, size=100)
    assert vocabulary.sha256 is vocabulary.sha256
    assert pickle.loads(pickle.dumps(vocabulary)).__dict__["sha256"]


@pytest.mark.parametrize("special", SPECIALS)
def test_a_literal_special_symbol_becomes_unk(special):
    assert replace_specials(["a", special, "b"]) == (["a", "<unk>", "b"], 1)


def test_tokens_without_special_symbols_are_kept():
    assert replace_specials(["a", "</S>"]) == (["a", "</S>"], 0)


# Vocabularies of users


def test_listed_tokens_keep_their_order_and_get_the_counts_of_the_text():
    vocabulary = count_listed(("é", "c", "new"), COUNTS)
    assert vocabulary.tokens == (*SPECIALS, "é", "c", "new")
    assert vocabulary.counts == (0, 7, 4, 3, 5, 0)


@pytest.mark.parametrize(
    ("data", "tokens"),
    [
        ("b\na\n", ("b", "a")),
        ("b\t7\na\t9\n", ("b", "a")),
        ("b\na\t9", ("b", "a")),
        ("</s>\nb\n<unk>\t3\n<s>\n", ("b", "<s>")),
        (HEAD + "a\t1\n", ("a",)),
        ("\ufeffb\r\na\r\n", ("b", "a")),
        ("a\u00a0b\n", ("a\u00a0b",)),
    ],
)
def test_a_token_list_has_a_token_a_line(tmp_path, data, tokens):
    (tmp_path / "v").write_bytes(data.encode())
    assert read_token_list(tmp_path / "v") == tokens


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a\n\nb\n", r"v:2: the line is empty"),
        (b"a\n\t3\n", r"v:2: no token before '3'"),
        (b"a\nb\na\t3\n", r"v:3: 'a' is already in line 1"),
        (b"<unk>\na\n<unk>\n", r"v:3: '<unk>' is already in line 1"),
        (b"a\nthe\t-3.5\n", r"v:2: expected a token or token<TAB>count, found 'the"),
        (b"a\t1\t2\n", r"v:1: expected a token or token<TAB>count"),
        (b"a 3\n", r"v:1: a space in 'a 3'"),
        (b"a\ncaf\xe9\n", r"v:2: not UTF-8"),
        (b"", r"v has no token except the special symbols"),
        (b"</s>\n", r"v has no token except the special symbols"),
    ],
)
def test_a_file_that_is_not_a_token_list_is_refused(tmp_path, data, message):
    (tmp_path / "v").write_bytes(data)
    with pytest.raises(CorpusError, match=message):
        read_token_list(tmp_path / "v")


def test_a_user_supplied_sentencepiece_vocabulary_is_refused_with_a_remedy(tmp_path):
    (tmp_path / "v").write_text("<unk>\t0\n\u2581the\t-3.1\n", encoding="utf-8")
    with pytest.raises(CorpusError, match=r"v:2") as caught:
        read_token_list(tmp_path / "v")
    assert "cut -f1 FILE" in caught.value.hint


def test_a_fairseq_dictionary_is_refused_with_a_remedy(tmp_path):
    (tmp_path / "v").write_text("the 31\na 12\n", encoding="utf-8")
    with pytest.raises(CorpusError, match=r"v:1") as caught:
        read_token_list(tmp_path / "v")
    assert r"tr ' ' '\t' < FILE" in caught.value.hint

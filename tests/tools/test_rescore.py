"""Rescoring of whole n-best lists."""

import pytest

from pipelines.artifacts.nbest import read_nbest
from pipelines.artifacts.translations import nbest_entries
from pipelines.config import TranslateConfig
from pipelines.errors import CorpusError
from pipelines.search.translator import Translator
from pipelines.tools.rescore import (
    check_list,
    read_source,
    rescore_list,
    rescore_sentences,
)
from tests.search.tiny import make_members
from tests.small_corpus import make_pipe, write_lines
from tests.tools.lists import entry, make_echo, make_rescorer, write_list

SOURCE = ["a b c", "d", "e e", "", "c b"]


def translated(path, *seeds, **settings):
    """A list that our own search has written."""
    config = TranslateConfig(beam=4, nbest=4, precision="fp32", **settings)
    translator = Translator(make_members(*seeds), config)
    translations = translator.translate(SOURCE)
    found = [e for n, t in enumerate(translations) for e in nbest_entries(n, t)]
    return write_list(path, *found)


@pytest.mark.parametrize("seeds", [(1,), (1, 2)])
def test_our_own_list_gets_the_log_probabilities_of_the_search(tmp_path, seeds):
    path = translated(tmp_path / "list", *seeds)
    found = list(rescore_list(path, SOURCE, make_rescorer(*seeds, weight=1.0)))
    assert [len(each.entries) for each in found] == [4, 4, 4, 0, 4]
    for each in found:
        scores = [e.score for e in each.entries]
        assert scores == sorted(scores, reverse=True)
        assert scores == [e.features["LSTM"][0] for e in each.entries]
        new = {e.tokens: e.score for e in each.entries}
        for old in each.original:
            assert new[old.tokens] == pytest.approx(old.features["LSTM"][0], abs=1e-6)


def test_weight_0_keeps_order_and_scores(tmp_path):
    path = translated(tmp_path / "list", 1)
    for each in rescore_list(path, SOURCE, make_rescorer(2, weight=0.0)):
        assert [e.tokens for e in each.entries] == [e.tokens for e in each.original]
        assert [e.score for e in each.entries] == [e.score for e in each.original]
        assert all(
            new.features["LSTM"] != old.features["LSTM"]
            for new, old in zip(each.entries, each.original, strict=True)
        )


def test_missing_sentences_are_empty_and_reported(caplog):
    rescorer, _ = make_echo()
    groups = [(n, [entry(n, "a")]) for n in (1, 4)]
    found = list(rescore_sentences(groups, ["a"] * 7, rescorer))
    assert [each.tokens for each in found] == [(), ("a",), (), (), ("a",), (), ()]
    assert [len(each.entries) for each in found] == [0, 1, 0, 0, 1, 0, 0]
    assert (
        "5 lines of the source missing from the list: lines 1, 3, 4, ..." in caplog.text
    )


def test_an_empty_list_is_all_blank(tmp_path, caplog):
    rescorer, _ = make_echo()
    found = list(rescore_list(write_list(tmp_path / "list"), ["a", "b"], rescorer))
    assert [each.tokens for each in found] == [(), ()]
    assert "2 lines of the source missing from the list: lines 1, 2" in caplog.text


def test_a_complete_list_of_known_tokens_gives_no_warning(caplog):
    rescorer, _ = make_echo()
    list(rescore_sentences([(0, [entry(0, "a b")])], ["a"], rescorer))
    assert caplog.text == ""


def test_many_unknown_tokens_are_reported_after_tokenizing_too(caplog):
    rescorer, _ = make_echo(tokenize=True)
    list(rescore_sentences([(0, [entry(0, "a x y")])], ["a"], rescorer))
    assert "67 % of the list's tokens are not in the model's voc" in caplog.text
    assert "--tokenize" not in caplog.text


def test_truncated_sources_are_reported_with_their_lines(caplog):
    rescorer, scorer = make_echo(max_source_length=2)
    groups = [(n, [entry(n, "a")]) for n in range(3)]
    list(rescore_sentences(groups, ["a b", "a b c", "d e a b"], rescorer))
    assert [each.source for each in scorer.seen] == [[4, 3, 2], [4, 3, 2], [7, 6, 2]]
    assert "2 lines of the source longer than 2 tokens" in caplog.text
    assert "lines 2, 3" in caplog.text


@pytest.mark.parametrize("size", [1, 300, 5000])
def test_the_reader_is_never_more_than_a_chunk_ahead(size):
    num_read = 0

    def groups():
        nonlocal num_read
        for number in range(6000 if size == 1 else 12):
            num_read += size
            yield number, [entry(number, "a")] * size

    rescorer, _ = make_echo()
    num_given = 0
    for found in rescore_sentences(groups(), ["a"] * 6000, rescorer):
        assert num_read - num_given <= max(2000 + size, size)
        num_given += len(found.entries)
    assert num_given == num_read


def test_progress_counts_every_source_line():
    class Counter:
        done = 0

        def task(self, description, *, total=None, unit="lines"):
            self.total = total
            return self

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def advance(self, amount=1, **figures):
            self.done += amount

    counter = Counter()
    groups = [(n, [entry(n, "a")]) for n in (2, 5)]
    list(rescore_sentences(groups, ["a"] * 9, make_echo()[0], progress=counter))
    assert counter.done == counter.total == 9


def test_a_sentence_beyond_the_source_is_named(tmp_path):
    path = write_list(tmp_path / "list", entry(0, "a"), entry(2, "a"))
    message = rf"^{path}: sentence 2, but the source has 2 lines$"
    with pytest.raises(CorpusError, match=message):
        list(rescore_list(path, ["a", "b"], make_echo()[0]))
    with pytest.raises(CorpusError, match=message):
        check_list(path, 2)
    check_list(path, 3)


def test_a_list_in_a_pipe_is_read_once(tmp_path):
    content = b"0 ||| a ||| ||| -1\n1 ||| b ||| ||| -1\n"
    path = make_pipe(tmp_path / "list", content)
    check_list(path, 2)
    assert path.exists(), "the check has opened the pipe"
    rescored = list(rescore_list(path, ["a", "b"], make_echo()[0]))
    assert [sentence.tokens for sentence in rescored] == [("a",), ("b",)]


def test_malformed_lines_are_found_beforehand(tmp_path):
    path = tmp_path / "list"
    write_lines(path, ["0 ||| a ||| ||| -1", "0 ||| a ||| -1"])
    with pytest.raises(CorpusError, match=r"list:2: expected id \|\|\| tokens"):
        check_list(path, 1)


def test_source_and_reference_have_as_many_lines(tmp_path):
    source, ref = tmp_path / "source", tmp_path / "ref"
    write_lines(source, ["a", "b"])
    assert read_source(source, []) == (["a", "b"], [])
    write_lines(ref, ["A", ""])
    assert read_source(source, [ref, ref]) == (["a", "b"], [["A", ""], ["A", None]])
    write_lines(ref, ["A"])
    with pytest.raises(CorpusError, match=r"source has 2 lines, .*ref has 1$"):
        read_source(source, [source, ref])


def test_chunks_change_no_result(tmp_path):
    path = translated(tmp_path / "list", 1)
    together = list(rescore_list(path, SOURCE, make_rescorer(2)))
    for number, group in read_nbest(path):
        (alone,) = make_rescorer(2).rescore([(number, group)], SOURCE)
        assert alone == together[number]

import math

import pytest

from pipelines.artifacts.nbest import NbestEntry, read_nbest, write_nbest
from pipelines.artifacts.translations import nbest_entries
from pipelines.artifacts.vocab import SPECIALS, Vocabulary
from pipelines.config import Config, TranslateConfig
from pipelines.errors import CorpusError, DivergenceError, UsageError
from pipelines.search.forced_decoding import ForcedDecoder
from pipelines.search.translator import Translator
from pipelines.text import TextPipeline, TextSettings
from pipelines.tools.rescore import (
    check_list,
    read_source,
    rescore_groups,
    rescore_list,
)
from pipelines.tools.rescorer import Rescorer, RescoreSettings
from tests.search.tiny import make_members
from tests.small_corpus import write_lines

SOURCE = ["a b c", "d", "e e", "", "c b"]


def make_pipeline(*words, **settings):
    config = Config.model_validate({"preprocess": {"tokenizer": "none", **settings}})
    vocabulary = Vocabulary((*SPECIALS, *(words or "abcde")), (0,) * 8)
    return TextPipeline(TextSettings.from_config(config), vocabulary, vocabulary)


def make_rescorer(*seeds, pipeline=None, weight=0.5, tokenize=False, **options):
    loaded = make_members(
        *(seeds or (1,)), pipeline=pipeline or make_pipeline(), **options
    )
    settings = RescoreSettings(weight=weight, tokenize=tokenize)
    return Rescorer(ForcedDecoder(loaded), loaded.pipeline, settings)


class Echo:
    """A model to which all tokens are alike; keeps what it was asked for."""

    def __init__(self, value=-1.0):
        self.value = value
        self.seen = []

    def score(self, sentences):
        self.seen += sentences
        return [
            [[self.value] * (len(ids) + 1) for ids in each.targets]
            for each in sentences
        ]


def make_echo(pipeline=None, *, value=-1.0, **settings):
    scorer = Echo(value)
    rescorer = Rescorer(
        scorer, pipeline or make_pipeline(), RescoreSettings(**settings)
    )
    return rescorer, scorer


def entry(number, text, score=-1.0, **features):
    features = {name: (value,) for name, value in features.items()}
    return NbestEntry(number, tuple(text.split()), features, score)


def write_list(path, *found):
    with path.open("w", encoding="utf-8", newline="\n") as file:
        write_nbest(file, found)
    return path


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


def test_the_even_mean_is_the_mean_of_both_scores(tmp_path):
    rescorer, _ = make_echo()
    path = write_list(tmp_path / "list", entry(0, "a b c"), entry(0, "a", -2.0, lm=-7))
    ((first, second),) = (each.entries for each in rescore_list(path, ["a"], rescorer))
    assert (first.tokens, first.score) == (("a",), (-2.0 - 2.0) / 2)
    assert first.features == {"lm": (-7.0,), "LSTM": (-2.0,)}
    assert (second.tokens, second.score) == (("a", "b", "c"), (-1.0 - 4.0) / 2)


@pytest.mark.parametrize(("penalty", "norm"), [("average", 4), (1.0, 9 / 6), (0.0, 1)])
def test_the_models_score_may_be_divided_by_its_length(tmp_path, penalty, norm):
    rescorer, _ = make_echo(weight=1.0, length_penalty=penalty)
    path = write_list(tmp_path / "list", entry(0, "a b c"))
    ((found,),) = (each.entries for each in rescore_list(path, ["a"], rescorer))
    assert found.score == pytest.approx(-4.0 / norm)
    assert found.features["LSTM"] == (-4.0,)


def test_equal_scores_keep_the_lists_order(tmp_path):
    rescorer, _ = make_echo()
    path = write_list(tmp_path / "list", *(entry(0, word) for word in "dbac"))
    (found,) = rescore_list(path, ["a"], rescorer)
    assert [e.tokens for e in found.entries] == [("d",), ("b",), ("a",), ("c",)]


def test_an_older_lstm_feature_is_replaced_where_it_stands():
    rescorer, _ = make_echo()
    old = entry(0, "a b", LSTM=-9.0, lm=-5.0)
    (found,) = rescore_groups([(0, [old])], ["a"], rescorer)
    assert list(found.entries[0].features.items()) == [("LSTM", (-3.0,)), ("lm", (-5,))]


def test_an_ensemble_weighs_its_models():
    groups = [(0, [entry(0, "a b"), entry(0, "c")])]

    def log_probs(*seeds, **options):
        rescorer = make_rescorer(*seeds, weight=0.0, **options)
        (found,) = rescore_groups(groups, ["a b"], rescorer)
        return [e.features["LSTM"][0] for e in found.entries]

    one, other, even = log_probs(1), log_probs(2), log_probs(1, 2)
    assert even == log_probs(2, 1)
    assert log_probs(1, 2, weights=[1, 1e-9]) == pytest.approx(one, abs=1e-5)
    assert log_probs(1, 2, weights=[1e-9, 1]) == pytest.approx(other, abs=1e-5)
    mean = [(a + b) / 2 for a, b in zip(one, other, strict=True)]
    assert log_probs(1, 2, mean="log_probabilities") == pytest.approx(mean, abs=1e-5)
    assert even != pytest.approx(mean, abs=1e-5)


def test_missing_sentences_give_nothing_and_are_told(caplog):
    rescorer, _ = make_echo()
    groups = [(n, [entry(n, "a")]) for n in (1, 4)]
    found = list(rescore_groups(groups, ["a"] * 7, rescorer))
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


def test_nothing_is_told_where_all_is_well(caplog):
    rescorer, _ = make_echo()
    list(rescore_groups([(0, [entry(0, "a b")])], ["a"], rescorer))
    assert caplog.text == ""


def test_blank_hypotheses_and_blank_sources_are_scored():
    groups = [(0, [entry(0, ""), entry(0, "a")]), (1, [entry(1, "b"), entry(1, "")])]
    found = list(rescore_groups(groups, ["a", ""], make_rescorer(1)))
    log_probs = [e.features["LSTM"][0] for each in found for e in each.entries]
    assert all(-50 < value < 0 for value in log_probs)


def test_bars_in_tokens_go_to_the_vocabulary_and_come_back(tmp_path):
    rescorer, scorer = make_echo(make_pipeline(*"abcd", "|||"))
    path = write_list(tmp_path / "list", entry(0, "a ||| b"))
    (found,) = rescore_list(path, ["a"], rescorer)
    assert scorer.seen[0].targets == [[3, 7, 4]]
    again = write_list(tmp_path / "again", *found.entries)
    assert "a &#124;&#124;&#124; b" in again.read_text()
    ((_, (read,)),) = read_nbest(again)
    assert read.tokens == ("a", "|||", "b")


def test_older_features_are_read_and_what_follows_the_score_is_kept(tmp_path):
    path = tmp_path / "list"
    write_lines(path, ["0 ||| a b  ||| d: 0 -7.6 lm: -41.3 w: -2 ||| -14.5 ||| 0-0"])
    (found,) = rescore_list(path, ["a"], make_echo(weight=1.0)[0])
    again = write_list(tmp_path / "again", *found.entries)
    assert again.read_text() == (
        "0 ||| a b ||| d= 0.0 -7.6 lm= -41.3 w= -2.0 LSTM= -3.0 ||| -3.0 ||| 0-0\n"
    )


@pytest.mark.parametrize(
    ("text", "settings", "ids"),
    [
        ("a A <unk> </s> <pad> x", {}, [3, 1, 1, 1, 1, 1]),
        ("a A <UNK> </s>", {"lowercase": True}, [3, 3, 1, 1]),
        ("a\u2028b c\u0301", {}, [3, 4, 1]),
        ("ab cd", {}, [1, 1]),
    ],
)
def test_tokens_go_to_the_vocabulary_as_they_are(text, settings, ids):
    rescorer, scorer = make_echo(make_pipeline(**settings))
    entry = NbestEntry(0, tuple(text.split(" ")), {}, 0.0)
    list(rescore_groups([(0, [entry])], ["a"], rescorer))
    assert scorer.seen[0].targets == [ids]
    assert scorer.seen[0].source == [3, 2]


def test_tokenize_cuts_words_as_the_model_does(caplog):
    pipeline = make_pipeline(tokenizer="characters")
    groups = [(0, [entry(0, "ab cd", -1.0)])]
    for tokenize, ids in ((False, [1, 1]), (True, [3, 4, 1, 5, 6])):
        rescorer, scorer = make_echo(pipeline, tokenize=tokenize)
        (found,) = rescore_groups(groups, ["a"], rescorer)
        assert scorer.seen[0].targets == [ids]
        assert found.tokens == ("ab cd",)
    assert "100 % of the list's tokens" in caplog.text
    assert caplog.text.count("--tokenize") == 1


def test_many_unknown_tokens_are_told_after_tokenizing_too(caplog):
    rescorer, _ = make_echo(tokenize=True)
    list(rescore_groups([(0, [entry(0, "a x y")])], ["a"], rescorer))
    assert "67 % of the list's tokens are not in the model's voc" in caplog.text
    assert "--tokenize" not in caplog.text


def test_long_sources_are_cut_and_told_with_their_lines(caplog):
    rescorer, scorer = make_echo(max_source_length=2)
    groups = [(n, [entry(n, "a")]) for n in range(3)]
    list(rescore_groups(groups, ["a b", "a b c", "d e a b"], rescorer))
    assert [each.source for each in scorer.seen] == [[4, 3, 2], [4, 3, 2], [7, 6, 2]]
    assert "2 lines of the source longer than 2 tokens" in caplog.text
    assert "lines 2, 3" in caplog.text


@pytest.mark.parametrize("size", [1, 300, 5000])
def test_the_reader_is_never_more_than_a_window_ahead(size):
    num_read = 0

    def groups():
        nonlocal num_read
        for number in range(6000 if size == 1 else 12):
            num_read += size
            yield number, [entry(number, "a")] * size

    rescorer, _ = make_echo()
    num_given = 0
    for found in rescore_groups(groups(), ["a"] * 6000, rescorer):
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
    list(rescore_groups(groups, ["a"] * 9, make_echo()[0], progress=counter))
    assert counter.done == counter.total == 9


def test_a_sentence_beyond_the_source_is_named(tmp_path):
    path = write_list(tmp_path / "list", entry(0, "a"), entry(2, "a"))
    message = rf"^{path}: sentence 2, but the source has 2 lines$"
    with pytest.raises(CorpusError, match=message):
        list(rescore_list(path, ["a", "b"], make_echo()[0]))
    with pytest.raises(CorpusError, match=message):
        check_list(path, 2)
    check_list(path, 3)


def test_what_is_no_file_is_not_read_twice(tmp_path):
    check_list(tmp_path, 0)


def test_malformed_lines_are_found_beforehand(tmp_path):
    path = tmp_path / "list"
    write_lines(path, ["0 ||| a ||| ||| -1", "0 ||| a ||| -1"])
    with pytest.raises(CorpusError, match=r"list:2: expected id \|\|\| tokens"):
        check_list(path, 1)


@pytest.mark.parametrize("weight", [-0.1, 1.1, math.nan, math.inf])
def test_a_weight_beyond_its_range_is_refused(weight):
    with pytest.raises(UsageError, match="expected a number from 0 to 1"):
        RescoreSettings(weight=weight)


@pytest.mark.parametrize("value", [math.nan, -math.inf])
def test_a_model_that_gives_no_number_is_an_error(value):
    rescorer, _ = make_echo(value=value)
    with pytest.raises(DivergenceError, match="score of sentence 0"):
        list(rescore_groups([(0, [entry(0, "a")])], ["a"], rescorer))


def test_source_and_reference_have_as_many_lines(tmp_path):
    source, ref = tmp_path / "source", tmp_path / "ref"
    write_lines(source, ["a", "b"])
    assert read_source(source, []) == (["a", "b"], [])
    write_lines(ref, ["A", ""])
    assert read_source(source, [ref, ref]) == (["a", "b"], [["A", ""], ["A", None]])
    write_lines(ref, ["A"])
    with pytest.raises(CorpusError, match=r"source has 2 lines, .*ref has 1$"):
        read_source(source, [source, ref])


def test_windows_change_no_result(tmp_path):
    path = translated(tmp_path / "list", 1)
    together = list(rescore_list(path, SOURCE, make_rescorer(2)))
    for number, group in read_nbest(path):
        (alone,) = make_rescorer(2).rescore([(number, group)], SOURCE)
        assert alone == together[number]

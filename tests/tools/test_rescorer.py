"""Scores of the hypotheses of single sentences."""

import math

import pytest

from pipelines.artifacts.nbest import NbestEntry, read_nbest
from pipelines.artifacts.vocab import EOS
from pipelines.errors import DivergenceError, UsageError
from pipelines.tools.rescore import (
    rescore_list,
    rescore_sentences,
)
from pipelines.tools.rescorer import RescoreSettings
from tests.small_corpus import write_lines
from tests.tools.lists import (
    entry,
    make_echo,
    make_pipeline,
    make_rescorer,
    write_list,
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
    (found,) = rescore_sentences([(0, [old])], ["a"], rescorer)
    assert list(found.entries[0].features.items()) == [("LSTM", (-3.0,)), ("lm", (-5,))]


def test_an_ensemble_weighs_its_models():
    groups = [(0, [entry(0, "a b"), entry(0, "c")])]

    def log_probs(*seeds, **options):
        rescorer = make_rescorer(*seeds, weight=0.0, **options)
        (found,) = rescore_sentences(groups, ["a b"], rescorer)
        return [e.features["LSTM"][0] for e in found.entries]

    one, other, even = log_probs(1), log_probs(2), log_probs(1, 2)
    assert even == log_probs(2, 1)
    assert log_probs(1, 2, weights=[1, 1e-9]) == pytest.approx(one, abs=1e-5)
    assert log_probs(1, 2, weights=[1e-9, 1]) == pytest.approx(other, abs=1e-5)
    mean = [(a + b) / 2 for a, b in zip(one, other, strict=True)]
    assert log_probs(1, 2, mean="log_probabilities") == pytest.approx(mean, abs=1e-5)
    assert even != pytest.approx(mean, abs=1e-5)


def test_blank_hypotheses_and_blank_sources_are_scored():
    groups = [(0, [entry(0, ""), entry(0, "a")]), (1, [entry(1, "b"), entry(1, "")])]
    found = list(rescore_sentences(groups, ["a", ""], make_rescorer(1)))
    log_probs = [e.features["LSTM"][0] for each in found for e in each.entries]
    assert all(-50 < value < 0 for value in log_probs)


def test_bars_in_tokens_go_to_the_vocabulary_and_come_back(tmp_path):
    rescorer, scorer = make_echo(make_pipeline(*"abcd", "|||"))
    path = write_list(tmp_path / "list", entry(0, "a ||| b"))
    (found,) = rescore_list(path, ["a"], rescorer)
    assert scorer.seen[0].targets == [[3, 7, 4, EOS]]
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
        ("a A <unk> </s> <pad> x", {}, [3, 1, 1, 1, 1, 1, EOS]),
        ("a A <UNK> </s>", {"lowercase": True}, [3, 3, 1, 1, EOS]),
        ("a\u2028b c\u0301", {}, [3, 4, 1, EOS]),
        ("ab cd", {}, [1, 1, EOS]),
    ],
)
def test_tokens_go_to_the_vocabulary_as_they_are(text, settings, ids):
    rescorer, scorer = make_echo(make_pipeline(**settings))
    entry = NbestEntry(0, tuple(text.split(" ")), {}, 0.0)
    list(rescore_sentences([(0, [entry])], ["a"], rescorer))
    assert scorer.seen[0].targets == [ids]
    assert scorer.seen[0].source == [3, 2]


def test_tokenize_cuts_words_as_the_model_does(caplog):
    pipeline = make_pipeline(tokenizer="characters")
    groups = [(0, [entry(0, "ab cd", -1.0)])]
    for tokenize, ids in ((False, [1, 1, EOS]), (True, [3, 4, 1, 5, 6, EOS])):
        rescorer, scorer = make_echo(pipeline, tokenize=tokenize)
        (found,) = rescore_sentences(groups, ["a"], rescorer)
        assert scorer.seen[0].targets == [ids]
        assert found.tokens == ("ab", "cd")
    assert "100 % of the list's tokens" in caplog.text
    assert caplog.text.count("--tokenize") == 1


@pytest.mark.parametrize("weight", [-0.1, 1.1, math.nan, math.inf])
def test_a_weight_beyond_its_range_is_refused(weight):
    with pytest.raises(UsageError, match="expected a number from 0 to 1"):
        RescoreSettings(weight=weight)


@pytest.mark.parametrize("value", [math.nan, -math.inf])
def test_a_model_that_gives_no_number_is_an_error(value):
    rescorer, _ = make_echo(value=value)
    with pytest.raises(DivergenceError, match="score of sentence 0"):
        list(rescore_sentences([(0, [entry(0, "a")])], ["a"], rescorer))

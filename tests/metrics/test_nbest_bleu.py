from dataclasses import asdict

import pytest
from sacrebleu.metrics.bleu import BLEU

from pipelines.artifacts.nbest import read_nbest
from pipelines.errors import CorpusError
from pipelines.metrics.bleu import bleu_tokenised
from pipelines.metrics.nbest_bleu import NbestBleuCounter, oracle_hypothesis
from tests.golden_data import golden_lines, golden_path

REF = "the cat sits on the mat ."
HYP = ["", "the", "the cat sat on a mat", "The cat sits on the mat .", "on the mat ."]


def test_the_oracle_has_the_best_sentence_score_of_sacrebleu():
    for lowercase, expected in ((False, HYP[3]), (True, HYP[3])):
        metric = BLEU(tokenize="none", effective_order=True, lowercase=lowercase)
        values = [metric.sentence_score(line, [REF]).score for line in HYP]
        assert HYP[values.index(max(values))] == expected
        assert oracle_hypothesis(HYP, REF, lowercase=lowercase) == expected


def test_of_equal_lines_the_first_is_oracle_hypothesis():
    assert oracle_hypothesis(["x", "y"], REF) == "x"
    assert oracle_hypothesis(["a The", "a the"], REF, lowercase=True) == "a The"
    assert oracle_hypothesis(["a The", "a the"], REF) == "a the"


def test_the_oracle_is_chosen_by_all_references():
    assert oracle_hypothesis(HYP, REF, None) == oracle_hypothesis(HYP, REF) == HYP[3]
    metric = BLEU(tokenize="none", effective_order=True)
    refs = ["the cat sat on it", "on the mat ."]
    values = [metric.sentence_score(line, refs).score for line in HYP]
    assert oracle_hypothesis(HYP, *refs) == HYP[values.index(max(values))] == HYP[4]


def test_baseline_and_oracle_are_scored_against_several_references():
    refs = [REF, "x x"], ["on the mat .", None]
    counter = NbestBleuCounter(*refs)
    counter.add([HYP[2], HYP[4]], HYP[2])
    counter.add(["x x"], "x x")
    result = counter.result()
    expected = bleu_tokenised([HYP[4], "x x"], *refs)
    assert result.oracle == expected.value > result.baseline == result.rescored
    assert result.signature == expected.signature
    assert result.signature.startswith("nrefs:var|")


def test_baseline_rescored_and_oracle_are_scored():
    counter = NbestBleuCounter([REF, "a dog runs here", "nothing"])
    counter.add([HYP[2], HYP[2], HYP[3]], HYP[3])
    counter.add(["a dog runs here"], "a dog runs here")
    counter.add([], "")
    result = counter.result()
    values = [
        bleu_tokenised([line, "a dog runs here", ""], [REF, "a dog runs here", "x"])
        for line in (HYP[2], HYP[3])
    ]
    assert (result.baseline, result.rescored) == tuple(
        metric.value for metric in values
    )
    assert result.oracle == result.rescored > result.baseline
    assert (result.sentences, result.hypotheses) == (2, 4)
    assert result.signature == values[0].signature
    assert "tok:none|smooth:none" in result.signature
    assert list(asdict(result))[:3] == ["baseline", "rescored", "oracle"]


def test_no_sentences_are_an_error():
    with pytest.raises(CorpusError, match="nothing to score"):
        NbestBleuCounter([]).result()


def test_an_nbest_list_of_moses_has_its_known_bleu():
    path = golden_path("nbest-europarl/nbest.gz")
    counter = NbestBleuCounter(golden_lines("nbest-europarl/ref.en.gz"), lowercase=True)
    for _, entries in read_nbest(path):
        lines = [" ".join(entry.tokens) for entry in entries]
        counter.add(lines, lines[-1])
    result = counter.result()
    assert result.baseline == pytest.approx(11.10, abs=0.005)
    assert result.oracle > result.baseline + 3
    assert result.rescored < result.oracle
    assert "case:lc" in result.signature
    assert (result.sentences, result.hypotheses) == (100, 10_000)

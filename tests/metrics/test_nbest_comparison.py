from dataclasses import asdict

import pytest
from sacrebleu.metrics.bleu import BLEU

from pipelines.artifacts.nbest import read_nbest
from pipelines.metrics.bleu import bleu_tokenised, nearest
from pipelines.metrics.nbest_comparison import Comparer
from tests.golden_data import golden_lines, golden_path

REF = "the cat sits on the mat ."
HYP = ["", "the", "the cat sat on a mat", "The cat sits on the mat .", "on the mat ."]


def test_nearest_agrees_with_sacrebleus_sentence_score():
    for lowercase, expected in ((False, HYP[3]), (True, HYP[3])):
        metric = BLEU(tokenize="none", effective_order=True, lowercase=lowercase)
        values = [metric.sentence_score(line, [REF]).score for line in HYP]
        assert HYP[values.index(max(values))] == expected
        assert nearest(HYP, REF, lowercase=lowercase) == expected


def test_of_equal_lines_the_first_is_nearest():
    assert nearest(["x", "y"], REF) == "x"
    assert nearest(["a The", "a the"], REF, lowercase=True) == "a The"
    assert nearest(["a The", "a the"], REF) == "a the"


def test_the_nearest_of_several_references_counts():
    assert nearest(HYP, REF, None) == nearest(HYP, REF) == HYP[3]
    metric = BLEU(tokenize="none", effective_order=True)
    refs = ["the cat sat on it", "on the mat ."]
    values = [metric.sentence_score(line, refs).score for line in HYP]
    assert nearest(HYP, *refs) == HYP[values.index(max(values))] == HYP[4]


def test_choices_are_compared_with_several_references():
    refs = [REF, "x x"], ["on the mat .", None]
    comparer = Comparer(*refs)
    comparer.add([HYP[2], HYP[4]], HYP[2])
    comparer.add(["x x"], "x x")
    found = comparer.result()
    expected = bleu_tokenised([HYP[4], "x x"], *refs)
    assert found.oracle == expected.value > found.baseline == found.rescored
    assert found.signature == expected.signature
    assert found.signature.startswith("nrefs:var|")


def test_three_choices_are_compared():
    comparer = Comparer([REF, "a dog runs here", "nothing"])
    comparer.add([HYP[2], HYP[2], HYP[3]], HYP[3])
    comparer.add(["a dog runs here"], "a dog runs here")
    comparer.add([], "")
    found = comparer.result()
    values = [
        bleu_tokenised([line, "a dog runs here", ""], [REF, "a dog runs here", "x"])
        for line in (HYP[2], HYP[3])
    ]
    assert (found.baseline, found.rescored) == tuple(each.value for each in values)
    assert found.oracle == found.rescored > found.baseline
    assert (found.sentences, found.hypotheses) == (2, 4)
    assert found.signature == values[0].signature
    assert "tok:none|smooth:none" in found.signature
    assert list(asdict(found))[:3] == ["baseline", "rescored", "oracle"]


def test_a_real_list_of_moses_has_its_known_bleu():
    path = golden_path("nbest-europarl/nbest.gz")
    comparer = Comparer(golden_lines("nbest-europarl/ref.en.gz"), lowercase=True)
    for _, entries in read_nbest(path):
        lines = [" ".join(entry.tokens) for entry in entries]
        comparer.add(lines, lines[-1])
    found = comparer.result()
    assert found.baseline == pytest.approx(11.10, abs=0.005)
    assert found.oracle > found.baseline + 3
    assert found.rescored < found.oracle
    assert "case:lc" in found.signature
    assert (found.sentences, found.hypotheses) == (100, 10_000)

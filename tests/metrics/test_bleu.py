import inspect
import subprocess
import sys

import numpy as np
import pytest
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.ter import TER

from pipelines.metrics.bleu import (
    bleu_detokenised,
    bleu_tokenised,
    chrf,
    ter,
)
from pipelines.metrics.bootstrap import Resampling
from tests.golden_data import golden_lines

HYP = ["The cat sat on the mat .", "", "It is raining today", "a b c d e"]
REF = ["The cat sits on the mat .", "A dog .", "it is raining today .", "a b c d e f"]
OTHER = ["The cat sat here .", "Some dog .", "It is raining today", "a b c x y"]
METRICS = [
    (bleu_tokenised, BLEU(tokenize="none", smooth_method="none", force=True)),
    (bleu_detokenised, BLEU()),
    (chrf, CHRF()),
    (ter, TER()),
]


@pytest.mark.parametrize(
    ("metric", "value", "signature"),
    [
        (
            bleu_tokenised,
            22.58467752,
            "nrefs:1|case:mixed|eff:no|tok:none|smooth:none|version:",
        ),
        (
            bleu_detokenised,
            22.42674895,
            "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:",
        ),
        pytest.param(
            chrf,
            49.2216,
            "nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ter,
            58.6773,
            "nrefs:1|case:lc|tok:tercom|norm:no|punct:yes|asian:no|version:",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_metrics_of_known_files_have_their_known_values(metric, value, signature):
    hyp, ref = (golden_lines(f"bleu-golden/{side}.en.gz") for side in ("hyp", "ref"))
    assert hyp.count("") == 3
    result = metric(hyp, ref)
    assert result.value == pytest.approx(value, abs=1e-4)
    assert result.signature.startswith(signature)
    assert result.low is None


@pytest.mark.parametrize(("metric", "oracle"), METRICS)
def test_intervals_and_signatures_are_those_of_sacrebleu(metric, oracle, monkeypatch):
    monkeypatch.setenv("SACREBLEU_SEED", "7")
    hyp, ref = HYP * 9, REF * 9
    expected = oracle.corpus_score(hyp, [ref], n_bootstrap=200)
    result = metric(hyp, ref, resampling=Resampling(num_samples=200, seed=7))
    assert result.value == pytest.approx(expected.score)
    assert result.signature == str(oracle.get_signature())
    assert "bs:200|seed:7" in result.signature
    assert (result.high - result.low) / 2 == pytest.approx(expected._ci, rel=1e-5)


@pytest.mark.parametrize(("metric", "oracle"), METRICS)
@pytest.mark.parametrize(
    ("other", "nrefs"), [(OTHER, "2"), ([None, *OTHER[1:]], "var"), ([None] * 4, "1")]
)
def test_several_references_are_scored_as_by_sacrebleu(
    metric, oracle, other, nrefs, monkeypatch
):
    monkeypatch.setenv("SACREBLEU_SEED", "7")
    refs = [REF * 9, other * 9]
    expected = oracle.corpus_score(HYP * 9, refs, n_bootstrap=50)
    result = metric(HYP * 9, *refs, resampling=Resampling(num_samples=50, seed=7))
    assert result.value == pytest.approx(expected.score)
    assert result.signature == str(oracle.get_signature())
    assert result.signature.startswith(f"nrefs:{nrefs}|bs:50|seed:7|")
    assert (result.high - result.low) / 2 == pytest.approx(expected._ci, rel=1e-5)


@pytest.mark.parametrize("metric", [bleu_tokenised, bleu_detokenised, chrf])
def test_case_is_ignored_only_when_asked(metric):
    lower = [line.lower() for line in REF]
    assert metric(lower, REF).value < 100
    result = metric(lower, REF, lowercase=True)
    assert result.value == pytest.approx(100)
    assert "case:lc" in result.signature


def test_nothing_right_is_zero():
    assert bleu_tokenised(["", ""], ["a b", "c"]).value == 0
    assert bleu_tokenised(["x y"], ["a b"], resampling=Resampling(5, 1)).high == 0


def test_tokenised_bleu_is_not_smoothed():
    hyp, ref = ["a b c x e f"], ["a b c d e f"]
    assert bleu_tokenised(hyp, ref).value == 0
    assert bleu_detokenised(hyp, ref).value > 0


@pytest.mark.parametrize("metric", [metric for metric, _ in METRICS])
def test_the_value_does_not_depend_on_resampling(metric):
    resampled = metric(HYP, REF, OTHER, resampling=Resampling(3, seed=1))
    assert resampled.value == metric(HYP, REF, OTHER).value


@pytest.mark.parametrize(
    ("metric", "statistics", "score"),
    [
        (BLEU(tokenize="none"), [4, 5, 4, 3, 2, 1, 4, 3, 2, 1], 77.88007831),
        (CHRF(), [4, 5, 4, 3, 4, 3, 2, 3, 2, 1, 2, 1, 0, 1, 0, 0, 0, 0], 72.57346393),
        (TER(), [1, 5], 20.0),
    ],
    ids=["bleu", "chrf", "ter"],
)
def test_private_methods_of_sacrebleu_are_as_they_were(metric, statistics, score):
    """`_corpus_metric` calls them; pyproject.toml allows the releases tested here."""
    hyp, refs = ["a b c d"] * 2, [["a b c d e"] * 2]
    methods = {
        "_extract_corpus_statistics": ["hypotheses", "references"],
        "_aggregate_and_compute": ["stats"],
        "_compute_score_from_stats": ["stats"],
    }
    for name, parameters in methods.items():
        assert list(inspect.signature(getattr(metric, name)).parameters) == parameters
    lines = metric._extract_corpus_statistics(hyp, refs)
    assert [list(line) for line in lines] == [statistics] * 2
    sums = np.array(lines, dtype=np.float64).sum(axis=0)
    for result in (
        metric._aggregate_and_compute(lines),
        metric._compute_score_from_stats(sums),
        metric.corpus_score(hyp, refs),
    ):
        assert result.score == pytest.approx(score)


def test_libraries_are_not_imported_before_a_metric_is_computed():
    code = (
        "import sys, pipelines.metrics.bleu, pipelines.metrics.accuracy;"
        "sys.exit(any(m in sys.modules for m in ('sacrebleu', 'rapidfuzz', 'torch')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

"""Scores of given pairs of lines."""

import io
import json
import math

import pytest

from pipelines.artifacts.vocab import EOS
from pipelines.config import TranslateConfig
from pipelines.errors import CorpusError
from pipelines.search.forced_decoding import ForcedDecoder, ForcedTargets
from pipelines.tools.score_pairs import (
    PairScore,
    score_pairs,
    write_json_lines,
    write_tsv,
)
from tests.search.tiny import make_members
from tests.small_corpus import write_lines

LOADED = make_members(1)


def score(folder, src, tgt, **settings):
    write_lines(folder / "src", src)
    write_lines(folder / "tgt", tgt)
    config = TranslateConfig(**settings)
    return list(score_pairs(folder / "src", folder / "tgt", LOADED, config))


def test_a_score_is_the_sum_of_forced_decoding(tmp_path):
    scores = score(tmp_path, ["a b", "", "c"], ["b", "a zzz", ""])
    pipeline = LOADED.pipeline
    targets = [pipeline.target_ids(line) for line in ("b", "a zzz", "")]
    sources = [pipeline.source_ids(line) for line in ("a b", "", "c")]
    expected = ForcedDecoder(LOADED).score(
        [ForcedTargets(s, [t]) for s, t in zip(sources, targets, strict=True)]
    )
    assert all(ids[-1] == EOS and EOS not in ids[:-1] for ids in targets)
    assert [s.log_prob for s in scores] == [sum(x) for (x,) in expected]
    assert [s.num_tokens for s in scores] == [2, 3, 1]  # EOS included
    assert [s.num_unknown for s in scores] == [0, 1, 0]


def test_long_sources_are_cut_with_a_warning(tmp_path, caplog):
    cut, whole = score(tmp_path, ["a b c", "a b"], ["a", "a"], max_source_length=2)
    assert cut == whole
    assert "1 line longer than 2 tokens; cut" in caplog.text


@pytest.mark.parametrize(("src", "tgt"), [(["a"], ["a", "b"]), (["a", "b"], ["a"])])
def test_unequal_numbers_of_lines_are_an_error(tmp_path, src, tgt):
    with pytest.raises(CorpusError, match=r"has 1 line, .* has more"):
        score(tmp_path, src, tgt)


def test_sums_of_scores_have_the_perplexity_of_all_tokens():
    total = PairScore(-2.0, 2, 1) + PairScore(-4.0, 1)
    assert total == PairScore(-6.0, 3, 1, num_pairs=2)
    assert total.perplexity == pytest.approx(math.exp(2.0))


def test_a_line_of_text_has_log_probability_and_tokens():
    output = io.StringIO()
    total = write_tsv([PairScore(-2.0, 2), PairScore(-0.5, 1)], output)
    assert output.getvalue() == "-2.000000\t2\n-0.500000\t1\n"
    assert total == PairScore(-2.5, 3, num_pairs=2)


def test_json_lines_end_with_the_sums():
    output = io.StringIO()
    write_json_lines([PairScore(-2.0, 2, 1), PairScore(-1.0, 1)], output)
    first, second, last = map(json.loads, output.getvalue().splitlines())
    assert first == {"line": 1, "log_prob": -2.0, "num_tokens": 2, "num_unknown": 1}
    assert second["line"] == 2
    assert last["total"]["num_pairs"] == 2
    assert last["total"]["perplexity"] == pytest.approx(math.e)

"""Averages of several models' predictions."""

import math

import pytest
import torch

from pipelines.artifacts.vocab import EOS
from pipelines.config import TranslateConfig
from pipelines.data.batch import pack_sequences
from pipelines.search.ensemble import Ensemble
from pipelines.search.translator import Translator
from tests.search.tiny import SIZES, make_member, make_members

LINES = ["a b c", "d", "e e e e e e", "a b c", "zzz a"]


def next_log_probs(ensemble):
    """Log-probabilities of every first token, [V]."""
    state = ensemble.encode(pack_sequences([[4, 2]]))
    rows, words = torch.zeros(8, dtype=torch.long), torch.arange(8)
    return ensemble.log_probs(torch.tensor([EOS]), state, rows, words)[0]


@pytest.mark.parametrize("weights", [(), (3.0, 1.0)])
def test_probabilities_are_averaged(weights):
    one, other = (
        make_member(1),
        make_member(2, sizes=SIZES.model_copy(update={"cells": 5})),
    )
    found = next_log_probs(Ensemble([one, other], weights=weights)).exp()
    p, q = (next_log_probs(Ensemble([model])).exp() for model in (one, other))
    share = 0.75 if weights else 0.5
    torch.testing.assert_close(found, share * p + (1 - share) * q)
    assert float(found.sum()) == pytest.approx(1.0, abs=1e-5)


def test_log_probabilities_are_averaged():
    one, other = make_member(1), make_member(2)
    both = Ensemble([one, other], weights=(1.0, 3.0), mean="log_probabilities")
    p, q = (next_log_probs(Ensemble([model])) for model in (one, other))
    torch.testing.assert_close(next_log_probs(both), 0.25 * p + 0.75 * q)


@pytest.mark.parametrize("mean", ["probabilities", "log_probabilities"])
def test_a_model_with_itself_is_that_model(mean):
    config = TranslateConfig(beam=4, nbest=4)
    one = Translator(make_members(1), config).translate(LINES)
    three = Translator(make_members(1, 1, 1, mean=mean), config).translate(LINES)
    for a, b in zip(one, three, strict=True):
        assert [c.tokens for c in a.outputs] == [c.tokens for c in b.outputs]
        for c, d in zip(a.outputs, b.outputs, strict=True):
            assert c.log_prob == pytest.approx(d.log_prob, abs=1e-5)


def test_a_search_scores_with_the_ensemble():
    config = TranslateConfig(beam=2, length_penalty=0.0)
    members = make_members(1, 2, mean="log_probabilities")
    for found in Translator(members, config).translate(LINES):
        assert math.isfinite(found.outputs[0].log_prob)
        assert found.outputs[0].score == found.outputs[0].log_prob

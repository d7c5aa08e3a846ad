"""Search settings: where they come from, and length normalization."""

from dataclasses import replace

import pytest

from pipelines.artifacts.vocab import EOS, PAD, UNK
from pipelines.config import TranslateConfig
from pipelines.search.settings import SearchSettings, effective_beam, norm


def test_settings_are_those_of_the_configuration():
    config = TranslateConfig(beam=5, nbest=3, search="paper", unk="copy", min_length=2)
    assert SearchSettings.from_config(config) == SearchSettings(
        beam=5,
        nbest=3,
        search="paper",
        length_penalty=0.6,
        allow_unk=True,
        min_length=2,
    )


def test_a_beam_is_no_narrower_than_its_nbest():
    settings = SearchSettings.from_config(TranslateConfig(beam=4, nbest=10))
    assert (settings.beam, settings.nbest) == (10, 10)
    assert effective_beam(TranslateConfig(beam=4, nbest=10)) == 10


def test_draws_are_scored_as_in_the_standard_search():
    config = TranslateConfig(
        sample=True, search="paper", beam=2, nbest=5, top_k=3, temperature=0.5, seed=9
    )
    found = SearchSettings.from_config(config)
    assert found.norm(7) == pytest.approx((12 / 6) ** 0.6)
    assert found.most_rows == 5
    assert str(found) == "sampling (top 3, temperature 0.5, seed 9)"
    assert str(replace(found, top_k=0, sample=False)) == "beam 5"


@pytest.mark.parametrize(
    ("penalty", "expected"), [(0.0, 1.0), (1.0, 2.0), (2.0, 4.0), ("average", 7.0)]
)
def test_the_norm_is_gnmts_penalty_or_the_length(penalty, expected):
    assert norm(7, penalty) == pytest.approx(expected)


def test_the_papers_search_does_not_normalize():
    assert SearchSettings(search="paper", length_penalty=1.0).norm(7) == 1.0


@pytest.mark.parametrize(
    ("options", "length", "banned"),
    [
        ({}, 0, {PAD, UNK}),
        ({"allow_unk": True}, 0, {PAD}),
        ({"min_length": 2}, 1, {PAD, UNK, EOS}),
        ({"min_length": 2}, 2, {PAD, UNK}),
    ],
    ids=str,
)
def test_banned_ids_depend_on_the_length(options, length, banned):
    assert set(SearchSettings(**options).banned(length)) == banned

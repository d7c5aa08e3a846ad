"""Forced decoding over prefix trees of translations."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.artifacts.vocab import EOS
from pipelines.search.ensemble import Ensemble
from pipelines.search.forced_decoding import ForcedDecoder, ForcedTargets
from pipelines.search.loading import LoadedEnsemble
from tests.model.test_inference import trained_logits
from tests.search.tiny import (
    CPU,
    make_member,
    make_members,
    make_model,
    make_pipeline,
)

MODEL, MEMBERS = make_model(1), make_members(1)

ids = st.lists(st.integers(1, 7).filter(lambda n: n != EOS), max_size=5).map(
    lambda ids: [*ids, EOS]
)
trees = st.lists(
    st.builds(ForcedTargets, ids, st.lists(ids, max_size=6)), min_size=1, max_size=6
)


def alone(source, target):
    """Log-probability of each token by the model as it was trained."""
    logits = trained_logits(MODEL, source, [EOS, *target[:-1]])
    tokens = torch.tensor(target)[:, None]
    return logits.log_softmax(1).gather(1, tokens)[:, 0].tolist()


@given(trees)
@settings(deadline=None, max_examples=80)
def test_log_probabilities_are_those_of_the_trained_model(sentences):
    scores = ForcedDecoder(MEMBERS).score(sentences)
    assert len(scores) == len(sentences)
    for sentence, found in zip(sentences, scores, strict=True):
        assert len(found) == len(sentence.targets)
        for target, log_probs in zip(sentence.targets, found, strict=True):
            expected = alone(sentence.source, target)
            assert log_probs == pytest.approx(expected, abs=1e-5)


@given(trees)
@settings(deadline=None, max_examples=40)
def test_scores_do_not_depend_on_the_batch(sentences):
    together = ForcedDecoder(MEMBERS).score(sentences)
    assert together == [ForcedDecoder(MEMBERS).score([each])[0] for each in sentences]


class CountingEnsemble(Ensemble):
    """Records the rows of each step and the sentences of each batch."""

    def __init__(self):
        super().__init__([make_member(1)])
        self.num_rows, self.num_sentences = [], []

    def encode(self, src):
        self.num_sentences.append(src.batch_sizes[0])
        return super().encode(src)

    def log_probs(self, tokens, *rest):
        self.num_rows.append(len(tokens))
        return super().log_probs(tokens, *rest)


def counting_decoder(**options):
    ensemble = CountingEnsemble()
    loaded = LoadedEnsemble(ensemble, make_pipeline(), CPU)
    return ForcedDecoder(loaded, **options), ensemble


def test_a_shared_prefix_is_decoded_once():
    decoder, ensemble = counting_decoder()
    targets = [[4, 5, 6, EOS], [4, 5, 7, EOS], [4, 5, 7, EOS], [4, 3, EOS], [EOS]]
    scores = decoder.score([ForcedTargets([4, EOS], targets)])
    # the empty prefix; 4; 4 5 and 4 3; 4 5 6 and 4 5 7
    assert ensemble.num_rows == [1, 1, 2, 2]
    assert scores[0][1] == scores[0][2]


def test_batches_stay_within_their_rows():
    decoder, ensemble = counting_decoder(max_rows=3)
    sentences = [ForcedTargets([4, EOS], [[5, EOS]] * n) for n in (1, 2, 5, 1, 0)]
    scores = decoder.score(sentences)
    assert [len(sentence) for sentence in scores] == [1, 2, 5, 1, 0]
    # 1 + 2 targets, then 5 of one source, then 1 + 0
    assert ensemble.num_sentences == [2, 1, 2]


def test_nothing_to_score_gives_no_scores():
    assert ForcedDecoder(MEMBERS).score([]) == []

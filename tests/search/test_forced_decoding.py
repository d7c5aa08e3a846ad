"""Forced decoding over trees of translations."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.artifacts.vocab import EOS
from pipelines.search import forced_decoding
from pipelines.search.forced_decoding import ForcedDecoder, ForcedTargets
from tests.model.test_inference import trained_logits
from tests.search.tiny import make_members, make_model

MODEL, MEMBERS = make_model(1), make_members(1)

ids = st.lists(st.integers(1, 7).filter(lambda n: n != EOS), max_size=5)
trees = st.lists(st.tuples(ids, st.lists(ids, max_size=6)), min_size=1, max_size=6)


def alone(source, target):
    """What the model as it was trained says of each token."""
    logits = trained_logits(MODEL, source, [EOS, *target])
    words = torch.tensor([*target, EOS])[:, None]
    return logits.log_softmax(1).gather(1, words)[:, 0].tolist()


@given(trees)
@settings(deadline=None, max_examples=80)
def test_every_translation_gets_what_the_model_says_of_it(tree):
    sentences = [ForcedTargets([*source, EOS], targets) for source, targets in tree]
    scores = ForcedDecoder(MEMBERS).score(sentences)
    assert len(scores) == len(tree)
    for sentence, found in zip(sentences, scores, strict=True):
        assert len(found) == len(sentence.targets)
        for target, log_probs in zip(sentence.targets, found, strict=True):
            expected = alone(sentence.source, target)
            assert log_probs == pytest.approx(expected, abs=1e-5)


@given(trees)
@settings(deadline=None, max_examples=40)
def test_scores_do_not_depend_on_the_batch(tree):
    sentences = [ForcedTargets([*source, EOS], targets) for source, targets in tree]
    together = ForcedDecoder(MEMBERS).score(sentences)
    assert together == [ForcedDecoder(MEMBERS).score([each])[0] for each in sentences]


def test_common_beginnings_are_read_once(monkeypatch):
    read = []
    log_probs = MEMBERS.ensemble.log_probs

    def counted(tokens, *rest):
        read.append(len(tokens))
        return log_probs(tokens, *rest)

    monkeypatch.setattr(MEMBERS.ensemble, "log_probs", counted)
    targets = [[4, 5, 6], [4, 5, 7], [4, 5, 7], [4, 3], []]
    ForcedDecoder(MEMBERS).score([ForcedTargets([4, EOS], targets)])
    # the start; 4; 4 5 and 4 3; 4 5 6 and 4 5 7
    assert read == [1, 1, 2, 2]


def test_batches_stay_within_their_rows(monkeypatch):
    monkeypatch.setattr(forced_decoding, "_ROWS", 3)
    sentences = [ForcedTargets([4, EOS], [[5]] * n) for n in (1, 2, 5, 1, 0)]
    sizes = []
    score = ForcedDecoder._score

    def counted(self, batch):
        sizes.append(sum(len(each.targets) for each in batch))
        return score(self, batch)

    monkeypatch.setattr(ForcedDecoder, "_score", counted)
    found = ForcedDecoder(MEMBERS).score(sentences)
    assert [len(each) for each in found] == [1, 2, 5, 1, 0]
    assert max(size for size in sizes if size != 5) <= 3

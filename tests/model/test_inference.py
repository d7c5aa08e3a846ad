"""Models for inference: what they compute, and that rows stay apart."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import linear

from pipelines.config import ModelConfig
from pipelines.data.batch import make_batch, pack_sequences
from pipelines.model import inference
from pipelines.model.inference import InferenceSeq2Seq
from pipelines.model.seq2seq import Seq2Seq, initialize
from tests.engines import CPU, LINEARS, MATMUL, ROWS_APART


def tolerance(name):
    """Share of the largest logit by which a precision may be off."""
    return {"int8": 6e-2, "bf16": 3e-2, "fp32": 1e-5}[name.split()[0]]


VOCABULARY = 50


def make_model(**settings):
    config = ModelConfig(**{"layers": 2, "cells": 24, "embedding_size": 16, **settings})
    model = Seq2Seq(config, VOCABULARY, VOCABULARY)
    initialize(model, init_range=0.4, seed=3)
    return model.eval()


def trained_logits(model, source, target):
    """Logits of every step as training computes them, [step, V]; EOS comes first."""
    batch = make_batch([(source, [*target[1:], 2])])
    decoder = model.decoder
    with torch.inference_mode():
        features = decoder(batch.tgt_in, model.encoder(batch.src, MATMUL), MATMUL)
        return linear(features, decoder.output_weight_VO, decoder.output_bias_V)


DEFAULT = next(iter(ROWS_APART or LINEARS))


def for_inference(model, name=DEFAULT):
    return InferenceSeq2Seq(model, LINEARS[name], device=CPU)


def logits_of(model, sources, targets):
    """Logits of every step when each target follows its source, [step][row, V]."""
    found = []
    with torch.inference_mode():
        state = model.encode(pack_sequences(sources))
        for step in range(len(targets[0])):
            tokens = torch.tensor([target[step] for target in targets])
            features, state = model.advance(tokens, state)
            found.append(model.logits(features)[: len(targets)])
    return torch.stack(found)


SOURCES = [[7, 8, 9, 2], [11, 2], [30, 31, 32, 33, 34, 2], [2]]
TARGETS = [[2, 5, 6], [2, 7, 7], [2, 40, 41], [2, 3, 4]]


@pytest.mark.parametrize("name", LINEARS)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"tie_embeddings": True},
        {"peepholes": True},
        {"bias": False},
        {"layers": 1},
        {"layers": 4},
    ],
    ids=str,
)
def test_a_model_for_inference_computes_what_the_model_does(name, settings):
    model = make_model(**settings)
    found = logits_of(for_inference(model, name), SOURCES, TARGETS)
    for row, (source, target) in enumerate(zip(SOURCES, TARGETS, strict=True)):
        expected = trained_logits(model, source, target)
        torch.testing.assert_close(
            found[:, row, :VOCABULARY],
            expected,
            rtol=0,
            atol=tolerance(name) * float(expected.abs().max()),
        )
    assert found.shape[2] % 16 == 0
    assert (found[:, :, VOCABULARY:] == -torch.inf).all()


sentences = st.lists(
    st.lists(st.integers(3, VOCABULARY - 1), max_size=6), min_size=1, max_size=40
)
MODELS = {name: for_inference(make_model(), name) for name in ROWS_APART}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name == DEFAULT else pytest.mark.slow)
        for name in ROWS_APART
    ],
)
@given(sentences, st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=60)
def test_a_row_gets_the_same_bits_whatever_stands_beside_it(name, lines, random):
    model = MODELS[name]
    sources = [[*line, 2] for line in lines]
    targets = [[2, 3 + len(line), 9] for line in lines]
    together = logits_of(model, sources, targets)
    order = list(range(len(lines)))
    random.shuffle(order)
    shuffled = logits_of(
        model, [sources[n] for n in order], [targets[n] for n in order]
    )
    assert torch.equal(together[:, order], shuffled)
    for number in order[:3]:
        alone = logits_of(model, [sources[number]], [targets[number]])
        assert torch.equal(together[:, number : number + 1], alone)


@pytest.mark.parametrize("name", ROWS_APART)
@pytest.mark.parametrize("cells", [256, 512])
def test_rows_stay_apart_in_products_of_real_size(name, cells):
    model = for_inference(make_model(cells=cells, embedding_size=cells), name)
    sources = [[3 + n % 40, 5, 2] for n in range(130)]
    targets = [[2, 3 + n % 45] for n in range(130)]
    together = logits_of(model, sources, targets)
    for rows in ([0], [5, 77], range(100, 117), range(64), range(30, 127)):
        some = logits_of(model, [sources[n] for n in rows], [targets[n] for n in rows])
        assert torch.equal(together[:, list(rows)], some)


def test_states_follow_their_rows():
    model = for_inference(make_model())
    with torch.inference_mode():
        state = model.encode(pack_sequences(SOURCES))
        picked = model.select(state, torch.tensor([2, 0, 2]))
        tokens = torch.tensor([2, 2, 2])
        features, _ = model.advance(tokens, picked)
        expected, _ = model.advance(torch.tensor([2, 2, 2, 2]), state)
    assert torch.equal(features[:3], expected[[2, 0, 2]])


def test_words_may_be_more_than_are_kept(monkeypatch):
    expected = logits_of(for_inference(make_model()), SOURCES, TARGETS)
    monkeypatch.setattr(inference, "_MOST_WORDS", 4)
    assert torch.equal(
        logits_of(for_inference(make_model()), SOURCES, TARGETS), expected
    )

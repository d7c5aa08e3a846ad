"""Models for inference: their logits, and that rows do not depend on each other."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import linear

from pipelines.config import ModelConfig
from pipelines.data.batch import make_batch, pack_sequences
from pipelines.model.inference import InferenceSeq2Seq
from pipelines.model.seq2seq import Seq2Seq, initialize
from tests.engines import CPU, LINEARS, MATMUL, ROW_INDEPENDENT


def tolerance(name):
    """Largest error of a precision, as a share of the largest logit."""
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


DEFAULT = next(iter(ROW_INDEPENDENT or LINEARS))


def for_inference(model, name=DEFAULT):
    return InferenceSeq2Seq(model, LINEARS[name], device=CPU)


def logits_of(model, sources, targets):
    """Logits of every step when each target follows its source, [step][row, V]."""
    logits = []
    with torch.inference_mode():
        state = model.encode(pack_sequences(sources))
        for step in range(len(targets[0])):
            tokens = torch.tensor([target[step] for target in targets])
            features, state = model.advance(tokens, state)
            logits.append(model.logits(features)[: len(targets)])
    return torch.stack(logits)


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
def test_logits_are_those_of_the_trained_model(name, settings):
    model = make_model(**settings)
    logits = logits_of(for_inference(model, name), SOURCES, TARGETS)
    for row, (source, target) in enumerate(zip(SOURCES, TARGETS, strict=True)):
        expected = trained_logits(model, source, target)
        torch.testing.assert_close(
            logits[:, row, :VOCABULARY],
            expected,
            rtol=0,
            atol=tolerance(name) * float(expected.abs().max()),
        )
    assert logits.shape[2] % 16 == 0
    assert (logits[:, :, VOCABULARY:] == -torch.inf).all()


sentences = st.lists(
    st.lists(st.integers(3, VOCABULARY - 1), max_size=6), min_size=1, max_size=40
)
MODELS = {name: for_inference(make_model(), name) for name in ROW_INDEPENDENT}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name == DEFAULT else pytest.mark.slow)
        for name in ROW_INDEPENDENT
    ],
)
@given(sentences, st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=60)
def test_a_row_has_the_same_bits_whatever_the_other_rows(name, lines, random):
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


@pytest.mark.parametrize("name", ROW_INDEPENDENT)
@pytest.mark.parametrize("cells", [256, 512])
def test_rows_are_independent_in_matmuls_of_real_size(name, cells):
    model = for_inference(make_model(cells=cells, embedding_size=cells), name)
    sources = [[3 + n % 40, 5, 2] for n in range(130)]
    targets = [[2, 3 + n % 45] for n in range(130)]
    together = logits_of(model, sources, targets)
    for rows in ([0], [5, 77], range(100, 117), range(64), range(30, 127)):
        some = logits_of(model, [sources[n] for n in rows], [targets[n] for n in rows])
        assert torch.equal(together[:, list(rows)], some)


def test_select_reorders_and_repeats_rows():
    model = for_inference(make_model())
    with torch.inference_mode():
        state = model.encode(pack_sequences(SOURCES))
        selected = model.select(state, torch.tensor([2, 0, 2]))
        tokens = torch.tensor([2, 2, 2])
        features, _ = model.advance(tokens, selected)
        expected, _ = model.advance(torch.tensor([2, 2, 2, 2]), state)
    assert torch.equal(features[:3], expected[[2, 0, 2]])


@pytest.mark.parametrize("max_cached_words", [0, 1, 8, 34])
def test_the_number_of_cached_words_changes_no_bit(max_cached_words):
    expected = logits_of(for_inference(make_model()), SOURCES, TARGETS)
    model = InferenceSeq2Seq(
        make_model(), LINEARS[DEFAULT], device=CPU, max_cached_words=max_cached_words
    )
    for _ in range(2):  # computed, then cached
        assert torch.equal(logits_of(model, SOURCES, TARGETS), expected)


def test_threads_share_a_model():
    expected = logits_of(for_inference(make_model()), SOURCES, TARGETS)
    model = for_inference(make_model())
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(logits_of, model, SOURCES, TARGETS) for _ in range(8)]
        assert all(torch.equal(future.result(), expected) for future in futures)

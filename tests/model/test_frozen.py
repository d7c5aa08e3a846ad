"""Models laid out for translation: what they compute, and that rows stay apart."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import linear

from pipelines.config import ModelConfig
from pipelines.data.batch import lay_out, make_batch
from pipelines.errors import UsageError
from pipelines.model import frozen as frozen_module
from pipelines.model import packing
from pipelines.model.frozen import FrozenSeq2Seq
from pipelines.model.packing import choose_packing
from pipelines.model.products import capabilities
from pipelines.model.seq2seq import Seq2Seq, initialize

CPU = torch.device("cpu")
HAS_INT8 = any(
    capabilities().get(name) for name in ("avx512_vnni", "avx_vnni", "amx_int8")
)
PRECISIONS = ["fp32", "bf16", *(["int8"] if HAS_INT8 else [])]
TOLERANCE = {"fp32": 1e-5, "bf16": 3e-2, "int8": 6e-2}
VOCABULARY = 50


def make_model(**settings):
    config = ModelConfig(**{"layers": 2, "cells": 24, "embedding_size": 16, **settings})
    model = Seq2Seq(config, VOCABULARY, VOCABULARY)
    initialize(model, init_range=0.4, seed=3)
    return model.eval()


def trained_logits(model, source, target):
    """Of every step, [step, V], as training makes them; the target starts with EOS."""
    batch = make_batch([(source, [*target[1:], 2])])
    decoder = model.decoder
    with torch.inference_mode():
        features = decoder(batch.tgt_in, model.encoder(batch.src))
        return linear(features, decoder.output_weight_VO, decoder.output_bias_V)


def freeze(model, precision="fp32"):
    return FrozenSeq2Seq(model, precision=precision, device=CPU)


def logits_of(frozen, sources, targets):
    """Logits of every step when each target follows its source, [step][row, V]."""
    found = []
    with torch.inference_mode():
        state = frozen.encode(lay_out(sources))
        for step in range(len(targets[0])):
            tokens = torch.tensor([target[step] for target in targets])
            features, state = frozen.advance(tokens, state)
            found.append(frozen.logits(features)[: len(targets)])
    return torch.stack(found)


SOURCES = [[7, 8, 9, 2], [11, 2], [30, 31, 32, 33, 34, 2], [2]]
TARGETS = [[2, 5, 6], [2, 7, 7], [2, 40, 41], [2, 3, 4]]


@pytest.mark.parametrize("precision", PRECISIONS)
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
def test_a_frozen_model_computes_what_the_model_does(precision, settings):
    model = make_model(**settings)
    found = logits_of(freeze(model, precision), SOURCES, TARGETS)
    for row, (source, target) in enumerate(zip(SOURCES, TARGETS, strict=True)):
        expected = trained_logits(model, source, target)
        torch.testing.assert_close(
            found[:, row, :VOCABULARY],
            expected,
            rtol=0,
            atol=TOLERANCE[precision] * float(expected.abs().max()),
        )
    assert found.shape[2] % 16 == 0
    assert (found[:, :, VOCABULARY:] == -torch.inf).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_torchs_own_products_serve_where_there_are_no_others(monkeypatch, dtype):
    """As on a GPU: rows are not rounded up, and words' gates are not kept."""
    model = make_model(tie_embeddings=True)
    expected = logits_of(freeze(model), SOURCES, TARGETS)
    library = packing._Library(dtype)
    monkeypatch.setattr(frozen_module, "choose_packing", lambda *_: library)
    frozen = freeze(model)
    frozen._encoder._words._keeps = frozen._decoder._words._keeps = False
    found = logits_of(frozen, SOURCES, TARGETS)[..., :VOCABULARY]
    expected = expected[..., :VOCABULARY]
    limit = TOLERANCE["fp32" if dtype == torch.float32 else "bf16"]
    assert float((found - expected).abs().max()) <= limit * float(expected.abs().max())


sentences = st.lists(
    st.lists(st.integers(3, VOCABULARY - 1), max_size=6), min_size=1, max_size=40
)
MODELS = {precision: freeze(make_model(), precision) for precision in PRECISIONS}


@pytest.mark.parametrize(
    "precision",
    [
        pytest.param(name, marks=() if name == "fp32" else pytest.mark.slow)
        for name in PRECISIONS
    ],
)
@given(sentences, st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=60)
def test_a_row_gets_the_same_bits_whatever_stands_beside_it(precision, lines, random):
    frozen = MODELS[precision]
    sources = [[*line, 2] for line in lines]
    targets = [[2, 3 + len(line), 9] for line in lines]
    together = logits_of(frozen, sources, targets)
    order = list(range(len(lines)))
    random.shuffle(order)
    shuffled = logits_of(
        frozen, [sources[n] for n in order], [targets[n] for n in order]
    )
    assert torch.equal(together[:, order], shuffled)
    for number in order[:3]:
        alone = logits_of(frozen, [sources[number]], [targets[number]])
        assert torch.equal(together[:, number : number + 1], alone)


@pytest.mark.parametrize("cells", [256, 512])
def test_rows_stay_apart_in_products_of_real_size(cells):
    model = make_model(cells=cells, embedding_size=cells)
    frozen = freeze(model)
    sources = [[3 + n % 40, 5, 2] for n in range(130)]
    targets = [[2, 3 + n % 45] for n in range(130)]
    together = logits_of(frozen, sources, targets)
    for rows in ([0], [5, 77], range(100, 117), range(64), range(30, 127)):
        some = logits_of(frozen, [sources[n] for n in rows], [targets[n] for n in rows])
        assert torch.equal(together[:, list(rows)], some)


def test_states_follow_their_rows():
    frozen = freeze(make_model())
    with torch.inference_mode():
        state = frozen.encode(lay_out(SOURCES))
        picked = frozen.select(state, torch.tensor([2, 0, 2]))
        tokens = torch.tensor([2, 2, 2])
        features, _ = frozen.advance(tokens, picked)
        expected, _ = frozen.advance(torch.tensor([2, 2, 2, 2]), state)
    assert torch.equal(features[:3], expected[[2, 0, 2]])


def test_words_may_be_more_than_are_kept(monkeypatch):
    expected = logits_of(freeze(make_model()), SOURCES, TARGETS)
    monkeypatch.setattr(frozen_module, "_MOST_WORDS", 4)
    assert torch.equal(logits_of(freeze(make_model()), SOURCES, TARGETS), expected)


@pytest.mark.parametrize("precision", ["int8", "tf32"])
def test_a_precision_that_the_device_lacks_is_refused(precision, monkeypatch):
    monkeypatch.setattr("pipelines.model.packing.capabilities", dict)
    with pytest.raises(UsageError, match=precision):
        choose_packing(precision, CPU)

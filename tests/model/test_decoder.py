import pytest
import torch

from pipelines.config import ModelConfig
from pipelines.data.batch import make_batch
from pipelines.model.decoder import Decoder
from pipelines.model.seq2seq import initialize
from tests.engines import MATMUL

PAIRS = [([2], [3, 4, 2]), ([2], [5, 6, 7, 8, 2]), ([2], [2])]


def make_decoder(**settings):
    sizes = {"layers": 2, "cells": 8, "embedding_size": 6}
    decoder = Decoder(ModelConfig(**sizes | settings), 10)
    initialize(decoder, init_range=0.5, seed=1)
    return decoder


def make_state(batch_size):
    torch.manual_seed(1)
    return torch.randn(2, 2, batch_size, 8).unbind()


@pytest.mark.parametrize(("tied", "size"), [(False, 8), (True, 6)])
def test_there_is_a_row_of_features_for_each_target_token(tied, size):
    decoder = make_decoder(tie_embeddings=tied)
    features = decoder(make_batch(PAIRS).tgt_in, make_state(3), MATMUL)
    assert features.shape == (9, size)
    assert decoder.output_weight_VO.shape == (10, size)


def test_tied_softmax_weights_are_the_embeddings():
    decoder = make_decoder(tie_embeddings=True)
    assert decoder.output_weight_VO is decoder.embedding.weight
    assert decoder.projection.weight.shape == (6, 8)
    assert make_decoder().projection is None


def test_the_features_of_a_sentence_do_not_depend_on_the_rest_of_the_batch():
    decoder, (h, c) = make_decoder(), make_state(3)
    batch = make_batch(PAIRS)
    features = decoder(batch.tgt_in, (h, c), MATMUL)
    rows = {1: [0, 3, 5, 7, 8], 0: [1, 4, 6], 2: [2]}
    for lane, number in enumerate(batch.pair_ids.tolist()):
        alone = make_batch([PAIRS[number]]).tgt_in
        state = h[:, lane : lane + 1], c[:, lane : lane + 1]
        torch.testing.assert_close(
            features[rows[number]], decoder(alone, state, MATMUL)
        )


def test_the_output_bias_follows_the_settings():
    assert make_decoder(bias=False).output_bias_V is None
    assert make_decoder(bias=True).output_bias_V.shape == (10,)

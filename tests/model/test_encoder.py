import torch

from pipelines.config import ModelConfig
from pipelines.data.batch import pack_sequences
from pipelines.model.encoder import Encoder
from pipelines.model.seq2seq import initialize
from tests.engines import MATMUL

SENTENCES = [[5, 6, 7, 2], [8, 2], [9, 9, 9, 4, 2], [2]]


def make_encoder(**settings):
    sizes = {"layers": 2, "cells": 8, "embedding_size": 6}
    encoder = Encoder(ModelConfig(**sizes | settings), 12)
    initialize(encoder, init_range=0.5, seed=1)
    return encoder


def test_the_state_of_a_sentence_does_not_depend_on_the_rest_of_the_batch():
    encoder = make_encoder()
    h_LBH, c_LBH = encoder(pack_sequences(SENTENCES), MATMUL)
    assert h_LBH.shape == c_LBH.shape == (2, 4, 8)
    for b, sentence in enumerate(SENTENCES):
        alone = encoder(pack_sequences([sentence]), MATMUL)
        torch.testing.assert_close((h_LBH[:, b : b + 1], c_LBH[:, b : b + 1]), alone)


def test_the_order_of_words_matters():
    encoder = make_encoder()
    (one, _), (other, _) = (
        encoder(pack_sequences([words]), MATMUL) for words in ([5, 6, 2], [6, 5, 2])
    )
    assert not torch.allclose(one, other)


def test_dropout_acts_in_training_only():
    encoder, src = make_encoder(dropout=0.5), pack_sequences(SENTENCES)
    torch.manual_seed(1)
    one, other = (encoder(src, MATMUL)[0] for _ in range(2))
    assert not torch.equal(one, other)
    encoder.eval()
    one, other = (encoder(src, MATMUL)[0] for _ in range(2))
    assert torch.equal(one, other)

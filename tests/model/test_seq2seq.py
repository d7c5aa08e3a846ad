import math
import tomllib

import pytest
import torch

from pipelines.config import ModelConfig
from pipelines.config.load import flatten, recipe_text
from pipelines.data.batch import make_batch, pack_sequences
from pipelines.model.seq2seq import Seq2Seq, build_model, initialize
from tests.engines import MATMUL

TINY = ModelConfig(layers=2, cells=8, embedding_size=6)


def make_model(config=TINY, sizes=(12, 10), seed=1):
    model = Seq2Seq(config, *sizes)
    initialize(model, init_range=0.5, seed=seed)
    return model


PAIRS = [([5, 6, 7, 2], [3, 4, 2]), ([8, 2], [5, 6, 7, 8, 2]), ([9, 9, 2], [2])]


def test_paper_recipe_has_the_papers_384_million_parameters():
    settings = flatten(tomllib.loads(recipe_text("paper")), "paper")
    config = ModelConfig(
        **{k[6:]: v for k, v in settings.items() if k.startswith("model.")}
    )
    with torch.device("meta"):
        counted = Seq2Seq(config, 160_000, 80_000).count_parameters()
    assert counted.recurrent == 64_000_000
    assert counted.embedding == 240_000_000
    assert counted.output == 80_000_000
    assert counted.peephole == 24_000
    assert counted.total - counted.peephole - counted.bias == 384_000_000


def test_decoder_starts_from_the_encoders_final_state_of_8000_numbers():
    config = ModelConfig(layers=4, cells=1000, embedding_size=3)
    model = Seq2Seq(config, 5, 5)
    h, c = model.encoder(pack_sequences([[4, 2]]), MATMUL)
    assert h.numel() + c.numel() == 8000


@pytest.mark.parametrize(
    "config", [TINY, TINY.model_copy(update={"tie_embeddings": True})]
)
def test_loss_of_a_batch_is_the_sum_of_the_losses_of_its_pairs(config):
    model = make_model(config)
    together, _ = model(make_batch(PAIRS), MATMUL)
    alone = sum(model(make_batch([pair]), MATMUL)[0] for pair in PAIRS)
    torch.testing.assert_close(together, alone)


def test_an_untrained_models_perplexity_is_about_the_vocabulary_size():
    model = Seq2Seq(TINY, 12, 10)
    initialize(model, init_range=0.08, seed=1)
    _, nll = model(make_batch(PAIRS), MATMUL)
    assert nll.item() / 9 == pytest.approx(math.log(10), rel=0.05)


def test_initialize_is_uniform_seeded_and_covers_every_weight():
    one, again, other = make_model(seed=1), make_model(seed=1), make_model(seed=2)
    for (name, a), b, c in zip(
        one.named_parameters(), again.parameters(), other.parameters(), strict=True
    ):
        assert torch.equal(a, b), name
        assert not torch.equal(a, c), name
        assert a.abs().max() <= 0.5, name
        assert a.abs().max() > 0.25, name


def test_tied_softmax_weights_are_counted_as_embeddings():
    model = make_model(TINY.model_copy(update={"tie_embeddings": True}))
    counted = model.count_parameters()
    assert (counted.output, counted.projection) == (0, 8 * 6)


def test_a_rebuilt_model_has_the_same_loss():
    model = make_model()
    info = {"model": TINY.model_dump(), "src_vocab_size": 12, "tgt_vocab_size": 10}
    built = build_model(info, dict(model.named_parameters()))
    batch = make_batch(PAIRS)
    with torch.no_grad():
        torch.testing.assert_close(built(batch, MATMUL), model(batch, MATMUL))


def test_overfits_one_batch():
    model = make_model(ModelConfig(layers=1, cells=24, embedding_size=12))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    batch = make_batch(PAIRS)
    for _ in range(200):
        loss, nll = model(batch, MATMUL)
        optimizer.zero_grad()
        (loss / batch.num_sentences).backward()
        optimizer.step()
    assert nll.item() / batch.num_tgt_tokens < 0.05

import pytest
import torch

from pipelines.data.dataset import ParallelDataset
from pipelines.distributed.process_group import DistributedContext
from pipelines.model.seq2seq import Seq2Seq, initialize
from pipelines.progress import SILENT
from pipelines.trainer.validation import validate
from tests.trainer.tiny import MODEL, TRAIN, write_data

VOCAB_SIZE = 9


@pytest.fixture
def dataset(tmp_path):
    write_data(tmp_path)
    return ParallelDataset.open(tmp_path / "binarize", "valid")


@pytest.fixture
def model():
    model = Seq2Seq(MODEL, VOCAB_SIZE, VOCAB_SIZE)
    initialize(model, init_range=0.5, seed=1)
    return model


def run(model, dataset, config=TRAIN, bleu=None):
    return validate(
        model,
        dataset,
        config,
        distributed=DistributedContext(),
        progress=SILENT,
        bleu=bleu,
    )


def test_a_uniform_model_has_the_vocabulary_as_its_perplexity(model, dataset):
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    result = run(model, dataset)
    assert result.perplexity == pytest.approx(VOCAB_SIZE)
    assert result.bleu is None


def test_perplexity_does_not_depend_on_the_batch_size(model, dataset):
    results = [
        run(model, dataset, TRAIN.model_copy(update={"batch_size": size}))
        for size in (1, 3, 10)
    ]
    expected = pytest.approx(results[0].perplexity, rel=1e-5)
    assert [result.perplexity for result in results] == [expected] * 3


@pytest.mark.parametrize("training", [True, False])
def test_validation_uses_no_dropout_and_restores_the_models_mode(
    model, dataset, training
):
    model.train(training)
    modes = []

    def bleu(model):
        modes.append(model.training)
        return 12.5

    first, second = (run(model, dataset, bleu=bleu) for _ in range(2))
    assert first == second
    assert first.bleu == 12.5
    assert modes == [False, False]
    assert model.training is training


def test_validation_computes_no_gradient(model, dataset):
    run(model, dataset)
    assert all(parameter.grad is None for parameter in model.parameters())

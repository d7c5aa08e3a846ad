import torch

from pipelines.data.batch import pack_sequences
from pipelines.model.embedding import embed, empty_embedding

SENTENCES = [[5, 3, 5, 2], [7, 2], [3, 2]]


def gradient(sequences, weight, mix):
    weight = weight.clone().requires_grad_()
    (embed(weight, sequences) * mix).sum().backward()
    return weight.grad


def test_embeddings_are_rows_of_the_weights():
    sequences, weight = pack_sequences(SENTENCES), torch.randn(9, 4)
    assert torch.equal(embed(weight, sequences), weight[sequences.tokens_N])


def test_the_gradient_is_that_of_torchs_embedding_with_a_row_for_each_word():
    torch.manual_seed(1)
    sequences, weight, mix = (
        pack_sequences(SENTENCES),
        torch.randn(9, 4),
        torch.randn(8, 4),
    )
    plain = weight.clone().requires_grad_()
    (torch.nn.functional.embedding(sequences.tokens_N, plain) * mix).sum().backward()
    sparse = gradient(sequences, weight, mix)
    assert sparse.is_sparse
    assert sparse._indices().tolist() == [[2, 3, 5, 7]]
    torch.testing.assert_close(sparse.to_dense(), plain.grad)


def test_words_of_other_processes_have_rows_of_zeros():
    """So that the gradients of all processes have the same rows."""
    alone = pack_sequences([[5, 2]])
    shared = pack_sequences(SENTENCES)
    places = torch.searchsorted(shared.unique_U, alone.tokens_N)
    sequences = type(alone)(
        shared.unique_U, places, alone.batch_sizes, alone.unsorted_indices_B
    )
    sparse = gradient(sequences, torch.randn(9, 4), torch.ones(2, 4))
    assert sparse._indices().tolist() == [[2, 3, 5, 7]]
    assert sparse._values()[:, 0].tolist() == [1, 0, 1, 0]


def test_an_empty_embedding_has_the_shape_of_its_vocabulary():
    assert empty_embedding(9, 4).weight.shape == (9, 4)

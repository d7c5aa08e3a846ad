"""The decoder: an LSTM language model that starts from the encoder's final state.

Shapes: N target tokens, B batch, O output features, V target vocabulary.
"""

import torch
from torch import Tensor, nn

from pipelines.config import ModelConfig
from pipelines.data.batch import PackedSequences
from pipelines.model.embedding import embed, empty_embedding
from pipelines.model.engine.library_lstm import State
from pipelines.model.engine.linear import linear
from pipelines.model.engine.matmul import Matmul
from pipelines.model.lstm import LSTMStack


class Decoder(nn.Module):
    """Embedding, LSTM stack and softmax layer.

    With `tie_embeddings` the embeddings are the softmax weights, and a projection maps
    the LSTM's output to their size. Otherwise the LSTM's output is the input of the
    softmax layer, as in the paper.
    """

    def __init__(self, config: ModelConfig, vocab_size: int) -> None:
        super().__init__()
        self.embedding = empty_embedding(vocab_size, config.embedding_size)
        self.dropout = nn.Dropout(config.dropout)
        self.lstm = LSTMStack(config)
        self.projection: nn.Linear | None = None
        self.output: nn.Linear | None = None
        if config.tie_embeddings:
            self.projection = nn.Linear(config.cells, config.embedding_size, bias=False)
        else:
            self.output = nn.Linear(config.cells, vocab_size, bias=False)
        self.output_bias_V: nn.Parameter | None = None
        if config.bias:
            self.output_bias_V = nn.Parameter(torch.zeros(vocab_size))

    def forward(self, tgt_in: PackedSequences, state: State, matmul: Matmul) -> Tensor:
        """Run over target sentences in batch order, each from its own state.

        Returns:
            Input of the softmax layer, float [N, O], a row for each token.
        """
        embedded_NE = self.dropout(embed(self.embedding.weight, tgt_in))
        output_NH = self.lstm.read(embedded_NE, tgt_in.batch_sizes, matmul, state)
        if self.projection is None:
            return output_NH
        return linear(output_NH, self.projection.weight, matmul)

    @property
    def output_weight_VO(self) -> Tensor:
        """Weights of the softmax layer."""
        return self.embedding.weight if self.output is None else self.output.weight

"""The decoder: an LSTM language model that starts from the encoder's final state.

Shapes: T target length, B batch, O output features, V target vocabulary.
"""

import torch
from torch import Tensor, nn

from pipelines.config import ModelConfig
from pipelines.model.lstm import LSTMStack, State


class Decoder(nn.Module):
    """Embedding, LSTM stack and softmax layer.

    With `tie_embeddings` the softmax weights are the embeddings and a projection brings
    the cells to their size; otherwise the softmax reads the cells directly, as in the
    paper.
    """

    def __init__(self, config: ModelConfig, vocab_size: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, config.embedding_size)
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

    def forward(self, tgt_in_TB: Tensor, state: State) -> tuple[Tensor, State]:
        """Read target tokens.

        Args:
            tgt_in_TB: int64 [T, B]: EOS first, then the tokens so far.
            state: (h_LBH, c_LBH) to start from.

        Returns:
            What the softmax layer reads, float [T, B, O], and the new state.
        """
        embedded_TBE = self.dropout(self.embedding(tgt_in_TB))
        features_TBO, state = self.lstm(embedded_TBE, state)
        if self.projection is not None:
            features_TBO = self.projection(features_TBO)
        return features_TBO, state

    @property
    def output_weight_VO(self) -> Tensor:
        """Weights of the softmax layer."""
        return self.embedding.weight if self.output is None else self.output.weight

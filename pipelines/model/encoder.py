"""The encoder: a (reversed) source sentence becomes the LSTM's final state.

Shapes: N source tokens, B batch, L layers, H cells.
"""

from torch import nn

from pipelines.config import ModelConfig
from pipelines.data.batch import PackedSequences
from pipelines.model.embedding import embed, empty_embedding
from pipelines.model.engine.library_lstm import State
from pipelines.model.engine.matmul import Matmul
from pipelines.model.lstm import LSTMStack, select_state


class Encoder(nn.Module):
    """Embedding and LSTM stack; returns the final state only."""

    def __init__(self, config: ModelConfig, vocab_size: int) -> None:
        super().__init__()
        self.embedding = empty_embedding(vocab_size, config.embedding_size)
        self.dropout = nn.Dropout(config.dropout)
        self.lstm = LSTMStack(config)

    def forward(self, src: PackedSequences, matmul: Matmul) -> State:
        """Encode sentences.

        Returns:
            The state after each sentence's own last token, (h_LBH, c_LBH), in the
            sentences' order.
        """
        embedded_NE = self.dropout(embed(self.embedding.weight, src))
        _, state = self.lstm(embedded_NE, src.batch_sizes, matmul)
        unsorted_B = src.unsorted_indices_B
        return state if unsorted_B is None else select_state(state, unsorted_B)

"""The encoder: a (reversed) source sentence becomes the LSTM's final state.

Shapes: S source length, B batch, L layers, H cells.
"""

from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from pipelines.config import ModelConfig
from pipelines.model.lstm import LSTMStack, State


class Encoder(nn.Module):
    """Embedding and LSTM stack; only the final state leaves it."""

    def __init__(self, config: ModelConfig, vocab_size: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, config.embedding_size)
        self.dropout = nn.Dropout(config.dropout)
        self.lstm = LSTMStack(config)

    def forward(self, src_SB: Tensor, lengths_B: Tensor) -> State:
        """Read sentences.

        Args:
            src_SB: int64 [S, B], padded below the shorter sentences.
            lengths_B: int64 [B] on the CPU, tokens of each sentence.

        Returns:
            The state after each sentence's own last token, (h_LBH, c_LBH). Padding
            never changes it.
        """
        embedded_SBE = self.dropout(self.embedding(src_SB))
        if int(lengths_B.min()) == src_SB.shape[0]:
            _, state = self.lstm(embedded_SBE)
        else:
            packed = pack_padded_sequence(embedded_SBE, lengths_B, enforce_sorted=False)
            _, state = self.lstm(packed)
        final: State = state
        return final

"""A trained model for inference: forward only, its weights packed in one precision.

The rows (hypotheses) change at every step, and a step is one matmul a layer over all
rows, in the encoder and in the decoder. The result of a row does not depend on the
other rows: on a CPU with oneDNN it has the same bits.

Shapes: N rows (hypotheses), B sentences, E embedding size, H cells, L layers, G gates
(4 H), O features, V vocabulary, M words that are not cached.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from pipelines.data.batch import PackedSequences
from pipelines.model.engine.lstm_autograd import LayerWeights
from pipelines.model.engine.lstm_steps import continuing_rows
from pipelines.model.engine.packed_linear import Linear, LinearFactory
from pipelines.model.lstm import LSTMStack
from pipelines.model.seq2seq import Seq2Seq

MAX_CACHED_WORDS = 1 << 15
"""Words whose input projections are cached: 2 KiB each for 128 cells."""
VOCABULARY_MULTIPLE = 16
"""Logits are padded with -inf to a multiple of this: a search first looks for the
largest of so many. Measured best from 8,000 to 80,000 words."""


@dataclass(frozen=True, slots=True)
class RowState:
    """State of an LSTM; may have padding rows at the end."""

    h: tuple[Tensor, ...]
    """Hidden state of each layer [N, H], as operands."""
    c: tuple[Tensor, ...]
    """Cells of each layer, float32 [N, H]."""

    def select(self, rows_N: Tensor) -> "RowState":
        """Select rows; int64, may repeat and reorder."""
        return RowState(
            tuple(layer.index_select(0, rows_N) for layer in self.h),
            tuple(layer.index_select(0, rows_N) for layer in self.c),
        )

    def rows(self, start: int, end: int) -> "RowState":
        """Select consecutive rows."""
        return RowState(
            tuple(layer[start:end] for layer in self.h),
            tuple(layer[start:end] for layer in self.c),
        )


class InferenceSeq2Seq:
    """Encoder and decoder, step by step; several threads may use one model.

    Args:
        model: A trained model, whose weights are copied and packed.
        linears: Builds the linear layers, in a precision; cells and logits are float32.
        device: Device of the computation.
        max_cached_words: Words of each vocabulary, the first ones, whose input
            projections are cached on a CPU.
    """

    def __init__(
        self,
        model: Seq2Seq,
        linears: LinearFactory,
        *,
        device: torch.device,
        max_cached_words: int = MAX_CACHED_WORDS,
    ) -> None:
        self.device = device
        self._linears = linears
        encoder, decoder = model.encoder.to(device), model.decoder.to(device)
        with torch.inference_mode():
            self._encoder, self._decoder = (
                _Stack(side.embedding.weight, side.lstm, linears, max_cached_words)
                for side in (encoder, decoder)
            )
            weight_VO = decoder.output_weight_VO.detach()
            self.vocab_size = len(weight_VO)
            bias_V = weight_VO.new_zeros(self.vocab_size)
            if decoder.output_bias_V is not None:
                bias_V = decoder.output_bias_V.detach()
            missing = -self.vocab_size % VOCABULARY_MULTIPLE
            weight_VO = F.pad(weight_VO, (0, 0, 0, missing))
            bias_V = F.pad(bias_V, (0, missing), value=-torch.inf)
            self._projection: Linear | None = None
            if decoder.projection is None:
                self._output = linears.pack(weight_VO, bias_V)
            else:
                self._projection = linears.pack(decoder.projection.weight, None)
                self._output = linears.pack_unbounded(weight_VO, bias_V)

    @torch.inference_mode()
    def encode(self, src: PackedSequences) -> RowState:
        """Encode sentences: the initial state of the decoder, a row for each."""
        gates_UG = self._encoder.input_projections(src.unique_U)
        state = self._encoder.zero_state(self.padded(src.batch_sizes[0]))
        ended: list[RowState] = []
        for rows, num_continuing in continuing_rows(src.batch_sizes):
            size = rows.stop - rows.start
            num_rows = self.padded(size)
            places = F.pad(src.inverse_N[rows], (0, num_rows - size))
            gates_NG = gates_UG.index_select(0, places)
            state = self._encoder.step(gates_NG, state.rows(0, num_rows))
            if num_continuing < size:
                ended.append(state.rows(num_continuing, size))
        lane_B = src.unsorted_indices_B
        if lane_B is None:
            lane_B = torch.arange(src.batch_sizes[0], device=self.device)
        return self.select(_concatenate(ended[::-1]), lane_B)

    def advance(self, tokens_N: Tensor, state: RowState) -> tuple[Tensor, RowState]:
        """Run a step of the decoder; tokens are int64 [N].

        Returns:
            Input of `logits`, [N or more, O], and the new state.
        """
        num_rows = len(state.c[0])
        tokens = F.pad(tokens_N, (0, num_rows - len(tokens_N)))
        state = self._decoder.step(self._decoder.input_projections(tokens), state)
        features = state.h[-1]
        if self._projection is not None:
            features = self._projection(features)
        return features, state

    def logits(self, features_NO: Tensor) -> Tensor:
        """Logits of the next token, float32 [N, V]; V is padded with -inf."""
        return self._output(features_NO)

    def select(self, state: RowState, rows_N: Tensor) -> RowState:
        """Select rows of a state, and pad them; int64, may repeat and reorder."""
        num_rows = len(rows_N)
        return state.select(F.pad(rows_N, (0, self.padded(num_rows) - num_rows)))

    def padded(self, num_rows: int) -> int:
        """Row count rounded up so that oneDNN reuses its kernels."""
        multiple = self._linears.row_multiple
        return -(-num_rows // multiple) * multiple


class _Stack:
    """Embedding and LSTM layers of the encoder or the decoder."""

    def __init__(
        self,
        embedding_VE: Tensor,
        lstm: LSTMStack,
        linears: LinearFactory,
        max_cached_words: int,
    ) -> None:
        first, *rest = lstm.layer_weights()
        self._linears = linears
        self.input_projections = _InputProjections(
            embedding_VE.detach(), first, linears, max_cached_words
        )
        self._layers = [linears.pack(first.recurrent_GH, None)]
        for layer in rest:
            both = torch.cat([layer.input_GI, layer.recurrent_GH], dim=1)
            self._layers.append(linears.pack(both, layer.bias_G))
        self._peepholes = [layer.peephole_3H for layer in (first, *rest)]
        self._zeros_H = embedding_VE.new_zeros(first.recurrent_GH.shape[1])

    def zero_state(self, num_rows: int) -> RowState:
        """Build a state of zeros."""
        num_layers = len(self._layers)
        zeros_NH = self._zeros_H.expand(num_rows, -1)
        h_NH = self._linears.operand(zeros_NH)
        return RowState((h_NH,) * num_layers, (zeros_NH,) * num_layers)

    def step(self, gates_NG: Tensor, state: RowState) -> RowState:
        """Run all layers for one token each; `gates_NG` is overwritten."""
        h: list[Tensor] = []
        c: list[Tensor] = []
        for number, layer in enumerate(self._layers):
            previous_h = state.h[number]
            if number == 0:
                gates_NG += layer(previous_h)
            else:
                gates_NG = layer(torch.cat([h[-1], previous_h], dim=1))
            h_NH, c_NH = _cell(gates_NG, state.c[number], self._peepholes[number])
            h.append(self._linears.operand(h_NH))
            c.append(c_NH)
        return RowState(tuple(h), tuple(c))


class _InputProjections:
    """Input projections of the first layer, cached on a CPU for each word.

    The cache saves 5 to 8 % of a translation with 512 cells, 2 to 5 % with 256. Threads
    share it without a lock: at worst two of them compute a word, with the same result.
    On a GPU nothing is cached, because looking up what is missing makes the host wait.
    """

    def __init__(
        self,
        embedding_VE: Tensor,
        layer: LayerWeights,
        linears: LinearFactory,
        max_cached_words: int,
    ) -> None:
        self._embedding_VE = embedding_VE
        self._linear = linears.pack_unbounded(layer.input_GI, layer.bias_G)
        self._multiple = linears.row_multiple
        self._num_cached = 0
        if embedding_VE.device.type == "cpu":
            self._num_cached = min(len(embedding_VE), max_cached_words)
        self._is_cached_V = torch.zeros(len(embedding_VE), dtype=torch.bool)
        # Linux provides the memory of a row when it is written.
        self._cache = torch.empty(self._num_cached, len(layer.bias_G))

    def __call__(self, tokens_N: Tensor) -> Tensor:
        """W x + b of the words' embeddings x, new memory, float32 [N, G]."""
        if not self._num_cached:
            return self._compute(tokens_N)
        is_missing_N = ~self._is_cached_V[tokens_N]
        if not bool(is_missing_N.any()):
            return self._cache.index_select(0, tokens_N)
        types_M, places = torch.unique(tokens_N[is_missing_N], return_inverse=True)
        gates_MG = self._compute(types_M)
        num_new = int((types_M < self._num_cached).sum())  # types ascend
        self._cache[types_M[:num_new]] = gates_MG[:num_new]
        self._is_cached_V[types_M[:num_new]] = True
        gates_NG = self._cache.index_select(0, tokens_N.clamp(max=self._num_cached - 1))
        gates_NG[is_missing_N] = gates_MG[places]
        return gates_NG

    def _compute(self, tokens_N: Tensor) -> Tensor:
        num_tokens = len(tokens_N)
        if num_padding := -num_tokens % self._multiple:
            tokens_N = F.pad(tokens_N, (0, num_padding))
        return self._linear(self._embedding_VE[tokens_N])[:num_tokens]


def _cell(
    gates_NG: Tensor, c_NH: Tensor, peephole_3H: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Compute (h_t, c_t) from W x_t + R h_(t-1) + b, which is overwritten.

    Gates and equations are those of `engine.lstm_steps`.
    """
    i, f, g, o = gates_NG.chunk(4, dim=1)
    if peephole_3H is not None:
        i.addcmul_(peephole_3H[0], c_NH)
        f.addcmul_(peephole_3H[1], c_NH)
    c_NH = (f.sigmoid_() * c_NH).addcmul_(i.sigmoid_(), g.tanh_())
    if peephole_3H is not None:
        o.addcmul_(peephole_3H[2], c_NH)
    return c_NH.tanh().mul_(o.sigmoid_()), c_NH


def _concatenate(states: Sequence[RowState]) -> RowState:
    """Concatenate the rows of several states."""
    h = zip(*(state.h for state in states), strict=True)
    c = zip(*(state.c for state in states), strict=True)
    return RowState(tuple(map(torch.cat, h)), tuple(map(torch.cat, c)))

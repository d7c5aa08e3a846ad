"""A trained model for inference: forward only, its weights packed in one precision.

Rows (hypotheses) come and go at every step, so that a step is one product a layer over
the rows there are, for the encoder as for the decoder. What a row gets does not depend
on the rows beside it: on a CPU in float32 and in int8 to the last bit.

Shapes: N rows (hypotheses), B sentences, E embedding size, H cells, L layers, G gates
(4 H), O features, V target vocabulary, U words seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

import torch
from torch import Tensor
from torch.nn import functional as F

from pipelines.data.batch import PackedSequences
from pipelines.model.engine.lstm_autograd import LayerWeights
from pipelines.model.engine.packed_linear import Linear, LinearFactory
from pipelines.model.lstm import LSTMStack
from pipelines.model.seq2seq import Seq2Seq

_MOST_WORDS = 1 << 15
"""Words whose gates are kept at once, on a CPU."""
VOCABULARY_MULTIPLE = 16
"""Logits come in multiples of this, the last with probability 0: a search looks first
at the largest of so many. Measured best from 8,000 to 80,000 words."""


@dataclass(frozen=True, slots=True)
class RowState:
    """What an LSTM knows of some rows; there may be more rows than were asked for."""

    h: tuple[Tensor, ...]
    """Output of each layer [N, H], as operands."""
    c: tuple[Tensor, ...]
    """Cells of each layer, float32 [N, H]."""

    def select(self, rows_N: Tensor) -> "RowState":
        """The state of some rows; int64, may repeat and reorder."""
        return RowState(
            tuple(layer.index_select(0, rows_N) for layer in self.h),
            tuple(layer.index_select(0, rows_N) for layer in self.c),
        )

    def rows(self, start: int, end: int) -> "RowState":
        """The state of some rows that stand together."""
        return RowState(
            tuple(layer[start:end] for layer in self.h),
            tuple(layer[start:end] for layer in self.c),
        )


class InferenceSeq2Seq:
    """Encoder and decoder, step by step.

    Args:
        model: Its weights are copied and packed.
        linears: Makes the linear layers, in a precision; cells and logits are float32.
        device: Where to compute.
    """

    def __init__(
        self, model: Seq2Seq, linears: LinearFactory, *, device: torch.device
    ) -> None:
        self.device = device
        self._linears = linears
        encoder, decoder = model.encoder.to(device), model.decoder.to(device)
        with torch.inference_mode():
            self._encoder = _Stack(encoder.embedding.weight, encoder.lstm, linears)
            self._decoder = _Stack(decoder.embedding.weight, decoder.lstm, linears)
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
        """The state from which translations start, a row for each sentence."""
        gates_UG = self._encoder.word_gates(src.unique_U)
        state = self._encoder.start(self.padded(src.batch_sizes[0]))
        ended: list[RowState] = []
        start = 0
        sizes = src.batch_sizes
        for size, following in zip(sizes, (*sizes[1:], 0), strict=True):
            num_rows = self.padded(size)
            places = F.pad(src.inverse_N[start : start + size], (0, num_rows - size))
            gates_NG = gates_UG.index_select(0, places)
            state = self._encoder.step(gates_NG, state.rows(0, num_rows))
            if following < size:
                ended.append(state.rows(following, size))
            start += size
        lane_B = src.unsorted_indices_B
        if lane_B is None:
            lane_B = torch.arange(src.batch_sizes[0], device=self.device)
        return self.select(_together(ended[::-1]), lane_B)

    def advance(self, tokens_N: Tensor, state: RowState) -> tuple[Tensor, RowState]:
        """Read one token each, int64 [N].

        Returns:
            What `logits` takes, [N or more, O], and the new state.
        """
        num_rows = len(state.c[0])
        tokens = F.pad(tokens_N, (0, num_rows - len(tokens_N)))
        state = self._decoder.step(self._decoder.word_gates(tokens), state)
        features = state.h[-1]
        if self._projection is not None:
            features = self._projection(features)
        return features, state

    def logits(self, features_NO: Tensor) -> Tensor:
        """Scores of the next token, float32; `vocab_size` and a few that are -inf."""
        return self._output(features_NO)

    def select(self, state: RowState, rows_N: Tensor) -> RowState:
        """The state of some rows; int64, may repeat and reorder."""
        num_rows = len(rows_N)
        return state.select(F.pad(rows_N, (0, self.padded(num_rows) - num_rows)))

    def padded(self, num_rows: int) -> int:
        """Rows to compute for so many, so that plans are used again."""
        multiple = self._linears.row_multiple
        return -(-num_rows // multiple) * multiple


class _Stack:
    """Embeddings and layers of one side."""

    def __init__(
        self, embedding_VE: Tensor, lstm: LSTMStack, linears: LinearFactory
    ) -> None:
        first, *rest = lstm.layer_weights()
        self._linears = linears
        self._words = _WordGates(embedding_VE.detach(), first, linears)
        self._layers = [linears.pack(first.recurrent_GH, None)]
        for layer in rest:
            both = torch.cat([layer.input_GI, layer.recurrent_GH], dim=1)
            self._layers.append(linears.pack(both, layer.bias_G))
        self._peepholes = [layer.peephole_3H for layer in (first, *rest)]
        self._zeros_H = embedding_VE.new_zeros(first.recurrent_GH.shape[1])

    def word_gates(self, tokens_N: Tensor) -> Tensor:
        """Gates of the first layer that the words alone decide, float32 [N, G]."""
        return self._words(tokens_N)

    def start(self, num_rows: int) -> RowState:
        """A state of zeros."""
        num_layers = len(self._layers)
        zeros_NH = self._zeros_H.expand(num_rows, -1)
        h_NH = self._linears.operand(zeros_NH)
        return RowState((h_NH,) * num_layers, (zeros_NH,) * num_layers)

    def step(self, gates_NG: Tensor, state: RowState) -> RowState:
        """Run all layers for one token each; `gates_NG` is used up."""
        h: list[Tensor] = []
        c: list[Tensor] = []
        for number, layer in enumerate(self._layers):
            before = state.h[number]
            if number == 0:
                gates_NG += layer(before)
            else:
                gates_NG = layer(torch.cat([h[-1], before], dim=1))
            h_NH, c_NH = _cell(gates_NG, state.c[number], self._peepholes[number])
            h.append(self._linears.operand(h_NH))
            c.append(c_NH)
        return RowState(tuple(h), tuple(c))


class _WordGates:
    """The first layer's products of embeddings: made once for each word, and kept.

    On a GPU they are made anew: looking up which are there would make it wait.
    """

    def __init__(
        self, embedding_VE: Tensor, layer: LayerWeights, linears: LinearFactory
    ) -> None:
        self._embedding_VE = embedding_VE
        self._multiple = linears.row_multiple
        self._layer = linears.pack_unbounded(layer.input_GI, layer.bias_G)
        self._keeps = embedding_VE.device.type == "cpu"
        self._lock = Lock()
        self._clear()

    def _clear(self) -> None:
        vocab_size, _ = self._embedding_VE.shape
        self._place_V = torch.full((vocab_size,), -1)
        self._gates_UG = torch.empty(0)
        self._num_kept = 0

    def __call__(self, tokens_N: Tensor) -> Tensor:
        if not self._keeps:
            return self._layer(self._embedding_VE[tokens_N])
        with self._lock:
            places_N = self._place_V[tokens_N]
            if bool((places_N < 0).any()):
                self._make(tokens_N)
                places_N = self._place_V[tokens_N]
            gates_UG = self._gates_UG  # whose rows another thread adds to only
        return gates_UG.index_select(0, places_N)

    def _make(self, tokens_N: Tensor) -> None:
        types_U = torch.unique(tokens_N)
        new_U = types_U[self._place_V[types_U] < 0]
        if self._num_kept + len(new_U) > _MOST_WORDS:
            self._clear()
            new_U = types_U
        missing = -len(new_U) % self._multiple
        gates_UG = self._layer(self._embedding_VE[F.pad(new_U, (0, missing))])
        end = self._num_kept + len(new_U)
        if end > len(self._gates_UG):
            larger = gates_UG.new_empty(2 * end, gates_UG.shape[1])
            if self._num_kept:
                larger[: self._num_kept] = self._gates_UG[: self._num_kept]
            self._gates_UG = larger
        self._gates_UG[self._num_kept : end] = gates_UG[: len(new_U)]
        self._place_V[new_U] = torch.arange(self._num_kept, end)
        self._num_kept = end


def _cell(
    gates_NG: Tensor, c_NH: Tensor, peephole_3H: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Graves 2013, equations 7 to 11, after the products; `gates_NG` is used up."""
    into, forget, new, out = gates_NG.chunk(4, dim=1)
    if peephole_3H is not None:
        into.addcmul_(peephole_3H[0], c_NH)
        forget.addcmul_(peephole_3H[1], c_NH)
    kept = forget.sigmoid_() * c_NH
    c_NH = kept.addcmul_(into.sigmoid_(), new.tanh_())
    if peephole_3H is not None:
        out.addcmul_(peephole_3H[2], c_NH)
    return c_NH.tanh().mul_(out.sigmoid_()), c_NH


def _together(states: Sequence[RowState]) -> RowState:
    """The rows of several states, one after another."""
    h = zip(*(state.h for state in states), strict=True)
    c = zip(*(state.c for state in states), strict=True)
    return RowState(tuple(map(torch.cat, h)), tuple(map(torch.cat, c)))

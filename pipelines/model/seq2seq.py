"""The whole model: encoder, decoder and loss; its initialization.

Shapes: N target tokens, V target vocabulary.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pipelines.config import ModelConfig
from pipelines.data.batch import Batch
from pipelines.model.decoder import Decoder
from pipelines.model.encoder import Encoder
from pipelines.model.engine.matmul import Matmul
from pipelines.model.loss import summed_cross_entropy


@dataclass(frozen=True, slots=True)
class ParameterCount:
    """Number of weights of each part of the model."""

    source_embedding: int
    target_embedding: int
    encoder: int
    """Input and recurrent weights of the encoder's layers."""
    decoder: int
    output: int
    """Weights of the softmax layer; 0 where it shares the target embeddings."""
    projection: int
    peephole: int
    bias: int

    @property
    def embedding(self) -> int:
        """Embeddings of both sides."""
        return self.source_embedding + self.target_embedding

    @property
    def recurrent(self) -> int:
        """Input and recurrent weights of encoder and decoder."""
        return self.encoder + self.decoder

    @property
    def without_biases(self) -> int:
        """The paper's count, 384M (section 3.4); without peepholes, too."""
        return self.embedding + self.recurrent + self.output + self.projection

    @property
    def total(self) -> int:
        """All weights, biases included."""
        return self.without_biases + self.peephole + self.bias


class Seq2Seq(nn.Module):
    """A sequence-to-sequence model with one fixed-size state between its halves.

    Source: Sutskever et al. 2014, section 2.
    """

    def __init__(
        self, config: ModelConfig, src_vocab_size: int, tgt_vocab_size: int
    ) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config, src_vocab_size)
        self.decoder = Decoder(config, tgt_vocab_size)

    def forward(
        self, batch: Batch, matmul: Matmul, *, label_smoothing: float = 0.0
    ) -> tuple[Tensor, Tensor]:
        """Compute loss and negative log-likelihood, summed over target tokens.

        Args:
            batch: The pairs, on the model's device.
            matmul: Computes the matmuls of both passes.
            label_smoothing: As `summed_cross_entropy`.

        Returns:
            Two float32 scalars in nats, as `summed_cross_entropy`.
        """
        state = self.encoder(batch.src, matmul)
        return summed_cross_entropy(
            self.decoder(batch.tgt_in, state, matmul),
            batch.tgt_out_N,
            self.decoder.output_weight_VO,
            self.decoder.output_bias_V,
            matmul,
            label_smoothing=label_smoothing,
        )

    def count_parameters(self) -> ParameterCount:
        """Count the weights of each part, biases apart, as the paper does."""

        def total(prefix: str, *names: str) -> int:
            return sum(
                parameter.numel()
                for full_name, parameter in self.named_parameters()
                if full_name.startswith(prefix) and any(n in full_name for n in names)
            )

        layer = ("input_weight", "recurrent_weight")
        return ParameterCount(
            source_embedding=total("encoder.", "embedding."),
            target_embedding=total("decoder.", "embedding."),
            encoder=total("encoder.", *layer),
            decoder=total("decoder.", *layer),
            output=total("decoder.", "output.weight"),
            projection=total("decoder.", "projection."),
            peephole=total("", "peephole"),
            bias=total("", "bias"),
        )


def initialize(model: nn.Module, *, init_range: float, seed: int) -> None:
    """Draw every weight uniformly from [-init_range, init_range].

    Source: Sutskever et al. 2014, section 3.4, for the LSTM; the paper does not say how
    it initialized embeddings, output and biases.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            values = torch.empty(parameter.shape)
            values.uniform_(-init_range, init_range, generator=generator)
            parameter.copy_(values)


def build_model(info: Mapping[str, object], tensors: Mapping[str, Tensor]) -> Seq2Seq:
    """Rebuild a model from the contents of a checkpoint.

    Args:
        info: `model` (settings), `src_vocab_size`, `tgt_vocab_size`.
        tensors: The weights by name.
    """
    config = ModelConfig.model_validate(info["model"])
    sizes = (int(str(info[f"{side}_vocab_size"])) for side in ("src", "tgt"))
    with torch.device("meta"):
        model = Seq2Seq(config, *sizes)
    model.load_state_dict(dict(tensors), assign=True)
    return model.eval()

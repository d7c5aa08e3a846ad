"""The whole model: encoder, decoder, loss; and how it starts.

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
    """Number of weights, by part."""

    source_embedding: int
    target_embedding: int
    encoder: int
    """Input and recurrent weights of its layers."""
    decoder: int
    output: int
    """Of the softmax; none of its own where it shares the target embeddings."""
    projection: int
    peephole: int
    bias: int

    @property
    def embedding(self) -> int:
        """Both sides."""
        return self.source_embedding + self.target_embedding

    @property
    def recurrent(self) -> int:
        """Encoder and decoder."""
        return self.encoder + self.decoder

    @property
    def without_biases(self) -> int:
        """As the paper counts its 384M (section 3.4): without peepholes, too."""
        return self.embedding + self.recurrent + self.output + self.projection

    @property
    def total(self) -> int:
        """All of them, biases included."""
        return self.without_biases + self.peephole + self.bias


class Seq2Seq(nn.Module):
    """Sequence to sequence, through one fixed-size state.

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
        """Loss and negative log-likelihood of a batch, summed over target tokens.

        Args:
            batch: The pairs, on the model's device.
            matmul: Computes the products, forward and backward.
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
        """Count the weights as the paper does: by part, biases apart."""
        sizes = {name: p.numel() for name, p in self.named_parameters()}

        def total(part: str, *needles: str) -> int:
            return sum(
                number
                for name, number in sizes.items()
                if name.startswith(part) and any(needle in name for needle in needles)
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
    embeddings, output and biases start: the same here.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            start = torch.empty(parameter.shape)
            start.uniform_(-init_range, init_range, generator=generator)
            parameter.copy_(start)


def build_model(info: Mapping[str, object], tensors: Mapping[str, Tensor]) -> Seq2Seq:
    """Make a model again from what a checkpoint holds.

    Args:
        info: `model` (settings), `src_vocab_size`, `tgt_vocab_size`.
        tensors: The weights by name.
    """
    config = ModelConfig.model_validate(info["model"])
    sizes = info["src_vocab_size"], info["tgt_vocab_size"]
    with torch.device("meta"):
        model = Seq2Seq(config, int(str(sizes[0])), int(str(sizes[1])))
    model.load_state_dict(dict(tensors), assign=True)
    return model.eval()

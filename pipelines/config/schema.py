"""The settings: one frozen model for each section of `s2s.toml`.

A field's docstring gives its meaning and unit; `s2s config show` prints it, and it
becomes a comment in a new `s2s.toml`. The sections `[preprocess]` and `[train]` have
modules of their own. Which settings count in a stage's fingerprint is explained in
`pipelines.config.section`.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from pipelines.config.preprocess import PreprocessConfig
from pipelines.config.section import (
    EXECUTION,
    LATER,
    Device,
    Expected,
    NonNegative,
    Positive,
    Rate,
    Section,
)
from pipelines.config.train import TrainConfig

FileNames = tuple[str, str]
"""A source file and a target file; line n of one is the translation of line n."""


def file_pairs(value: Any) -> tuple[FileNames, ...]:
    """Read the value of a split in `[data]`.

    Args:
        value: `[]`, `[source, target]`, or a list of such pairs.

    Raises:
        ValueError: The value is anything else.
    """
    pairs = value if isinstance(value, list | tuple) else [value]
    if pairs and all(isinstance(name, str) for name in pairs):
        pairs = [pairs]
    for pair in pairs:
        names = pair if isinstance(pair, list | tuple) else [pair]
        if len(names) != 2 or not all(isinstance(n, str) and n for n in names):
            raise ValueError("needs two files: [source, target]")
    return tuple((pair[0], pair[1]) for pair in pairs)


def _corpora(value: Any, info: ValidationInfo) -> Any:
    """Check the files of a split; a single pair stays `(source, target)`."""
    try:
        pairs = file_pairs(value)
    except ValueError as error:
        raise ValueError(f"{info.field_name} {error}") from error
    return pairs[0] if len(pairs) == 1 else pairs


def _one_corpus(value: Any, info: ValidationInfo) -> Any:
    corpora = _corpora(value, info)
    if corpora and not isinstance(corpora[0], str):
        raise ValueError(
            f"{info.field_name} takes one [source, target]; join the files, or "
            "translate and score the others by themselves"
        )
    return corpora


Corpus = Annotated[
    tuple[str, ...], BeforeValidator(_one_corpus), Expected("[source, target]")
]
Corpora = Annotated[
    tuple[str, ...] | tuple[FileNames, ...],
    BeforeValidator(_corpora),
    Expected("[source, target], or a list of such pairs"),
]


class DataConfig(Section):
    """Parallel text: [source, target] for each split, or a list of such pairs."""

    source_lang: str = "en"
    """Language code of the source side, which the tokenizer needs."""
    target_lang: str = "fr"
    """Language code of the target side, which the tokenizer needs."""
    train: Corpora = ()
    """Training text (plain, .gz or .zst), relative to the project's folder."""
    valid: Corpora = ()
    """Text for validation during training."""
    test: Corpus = ()
    """Text to translate and score after training, which may be left out."""

    def splits(self) -> dict[str, tuple[FileNames, ...]]:
        """Return the splits that are set, each with its pairs of files, in order."""
        named = {"train": self.train, "valid": self.valid, "test": self.test}
        return {name: file_pairs(value) for name, value in named.items() if value}


class BinarizeConfig(Section):
    """From tokens to memory-mapped shards."""

    workers: NonNegative = Field(default=0, json_schema_extra=EXECUTION)
    """Number of processes (0: one for each core), which does not change the result."""


class ModelConfig(Section):
    """The deep LSTM encoder and decoder (section 3.4 of the paper)."""

    layers: Positive = 4
    """Number of LSTM layers in the encoder, and in the decoder."""
    cells: Positive = 1000
    """Number of LSTM cells in each layer."""
    embedding_size: Positive = 1000
    """Number of dimensions of the source and target embeddings."""
    peepholes: bool = False
    """Use peephole connections (Graves 2013), which are slower."""
    dropout: Rate = 0.0
    """Dropout rate of embeddings, between layers and before the output layer; it is not
    applied between time steps."""
    tie_embeddings: bool = False
    """Share the target embeddings and the weights of the output layer; the output of
    the top layer is projected to the embedding size."""
    bias: bool = True
    """Use a bias in the output (softmax) layer."""
    init_range: Annotated[float, Field(gt=0.0)] = 0.08
    """Bound of the initial weights, which are uniform in [-init_range, init_range]."""


class TranslateConfig(Section):
    """Beam search or sampling."""

    beam: Positive = 12
    """Number of hypotheses kept at each step of the search; 1 is greedy search."""
    nbest: Positive = 1
    """Number of translations written for each sentence; widens a smaller beam."""
    search: Literal["standard", "paper"] = "standard"
    """Kind of beam search; in paper, each finished hypothesis narrows the beam and
    scores are not normalized by length. Greedy search is beam = 1."""
    length_penalty: Annotated[float, Field(ge=0.0)] | Literal["average"] = 0.6
    """Length normalization of the standard search: alpha of GNMT's length penalty (0
    for none), or average, which divides by the number of tokens."""
    unk: Literal["allow", "forbid", "copy"] = "forbid"
    """Treatment of <unk>: allow writes it, forbid never writes it, copy replaces it by
    the unknown words of the source in order."""
    ensemble: Literal["probabilities", "log_probabilities"] = "probabilities"
    """Quantity that is averaged over the models of an ensemble."""
    max_length_ratio: Annotated[float, Field(ge=0.0)] = 0.0
    """Longest output, as a multiple of the number of source tokens, before
    max_length_extra is added; 0 takes the ratio from the training pairs."""
    max_length_extra: NonNegative = 10
    """Number of tokens that are added to the limit of max_length_ratio."""
    min_length: NonNegative = Field(default=0, json_schema_extra=LATER)
    """Smallest number of output tokens, without EOS; raises a lower length limit."""
    max_length: NonNegative = Field(default=0, json_schema_extra=LATER)
    """Largest number of output tokens, without EOS, for a source of any length; 0
    leaves the limit to max_length_ratio and max_length_extra."""
    sample: bool = Field(default=False, json_schema_extra=LATER)
    """Draw nbest translations at random from the model instead of searching; beam and
    search do not apply."""
    top_k: NonNegative = Field(default=0, json_schema_extra=LATER)
    """Number of most likely tokens from which sampling draws; 0 draws from all."""
    temperature: float = Field(default=1.0, gt=0.0, json_schema_extra=LATER)
    """Divisor of the logits in sampling; below 1, likely tokens become likelier."""
    seed: NonNegative = Field(default=1, json_schema_extra=LATER)
    """Seed of sampling; the same line gets the same draws in any file."""
    max_source_length: Positive = 1000
    """Number of tokens to which longer source sentences are cut, with a warning."""
    precision: Literal["auto", "fp32", "tf32", "bf16", "int8"] = "auto"
    """Precision of matrix multiplications; auto is bf16 if the hardware supports it,
    else fp32."""
    batch_size: NonNegative = Field(default=0, json_schema_extra=EXECUTION)
    """Largest number of sentences translated together; 0 depends on device and beam."""
    max_batch_tokens: Positive = Field(default=16_384, json_schema_extra=EXECUTION)
    """Largest number of source tokens translated together."""
    device: Device = Field(default="auto", json_schema_extra=EXECUTION)
    """Device (auto, cpu, cuda, cuda:N); auto takes a GPU if there is one."""
    threads: NonNegative = Field(default=0, json_schema_extra=EXECUTION)
    """Number of CPU threads; 0 lets torch choose."""

    @model_validator(mode="after")
    def _require_consistent_lengths(self) -> Self:
        if 0 < self.max_length < self.min_length:
            raise ValueError(
                f"min_length ({self.min_length}) exceeds max_length ({self.max_length})"
            )
        return self

    def fingerprinted(self) -> dict[str, Any]:
        """Return the settings that can change a result: of sampling, only when on."""
        settings = super().fingerprinted()
        if not self.sample:
            for name in ("top_k", "temperature", "seed"):
                settings.pop(name, None)
        return settings


class ScoreConfig(Section):
    """Metrics of a translation."""

    lowercase: bool | Literal["auto"] = "auto"
    """Ignore case in every metric; auto follows preprocess.lowercase, and counts case
    with s2s score --ref."""
    bootstrap_samples: NonNegative = 1000
    """Number of bootstrap samples for the 95 % confidence intervals; 0 omits them."""
    seed: NonNegative = 12345
    """Seed of the bootstrap samples."""

    @property
    def ignores_case(self) -> bool:
        """Whether to ignore case; `auto` that was not resolved does not."""
        return self.lowercase is True


class Config(Section):
    """All settings of a project."""

    recipe: str = "numbers"
    """Recipe whose values apply to the settings that s2s.toml does not set."""
    data: DataConfig = DataConfig()
    preprocess: PreprocessConfig = PreprocessConfig()
    binarize: BinarizeConfig = BinarizeConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    translate: TranslateConfig = TranslateConfig()
    score: Annotated[ScoreConfig, Field(validate_default=True)] = ScoreConfig()

    @field_validator("score")
    @classmethod
    def _resolve_case(cls, score: ScoreConfig, info: ValidationInfo) -> ScoreConfig:
        """Resolve `auto`, so that no other code looks into two sections for it."""
        if score.lowercase != "auto" or "preprocess" not in info.data:
            return score
        lowercase = info.data["preprocess"].lowercase
        return score.model_copy(update={"lowercase": lowercase})

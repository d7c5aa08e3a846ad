"""What can be set: one frozen model for each section of `s2s.toml`.

A field's description gives its meaning and unit; `s2s config show` prints it. Which
settings count in a stage's fingerprint, `pipelines.config.section` explains.
"""

from typing import Annotated, Any, Literal

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
    Expected,
    NonNegative,
    Positive,
    Rate,
    Section,
)

__all__ = [
    "BinarizeConfig",
    "Config",
    "DataConfig",
    "ModelConfig",
    "PreprocessConfig",
    "ScoreConfig",
    "Section",
    "TrainConfig",
    "TranslateConfig",
]


FileNames = tuple[str, str]
"""A source file and a target file, line by line translations of each other."""


def file_pairs(value: Any) -> tuple[FileNames, ...]:
    """Read the value of a split in `[data]`.

    Args:
        value: `[]`, `[source, target]`, or a list of such pairs.

    Raises:
        ValueError: It is anything else.
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
    found = _corpora(value, info)
    if found and not isinstance(found[0], str):
        raise ValueError(
            f"{info.field_name} takes one [source, target]; join the files, or "
            "translate and score the others by themselves"
        )
    return found


Corpus = Annotated[
    tuple[str, ...], BeforeValidator(_one_corpus), Expected("[source, target]")
]
Corpora = Annotated[
    tuple[str, ...] | tuple[FileNames, ...],
    BeforeValidator(_corpora),
    Expected("[source, target], or a list of such pairs"),
]
Device = Annotated[
    str,
    Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$"),
    Expected("auto, cpu, cuda or cuda:N", ("auto", "cpu", "cuda")),
]


class DataConfig(Section):
    """The user's parallel text: [source, target] for each split, or a list of these."""

    source_lang: str = "en"
    """Language code of the source side, for the tokenizer."""
    target_lang: str = "fr"
    """Language code of the target side, for the tokenizer."""
    train: Corpora = ()
    """Training pairs; plain text, .gz or .zst; relative to the project's folder."""
    valid: Corpora = ()
    """Pairs for validation during training."""
    test: Corpus = ()
    """Pairs that are translated and scored at the end; may be left out."""

    def splits(self) -> dict[str, tuple[FileNames, ...]]:
        """The splits that are set, in order, each with its pairs of files in order."""
        named = {"train": self.train, "valid": self.valid, "test": self.test}
        return {name: file_pairs(value) for name, value in named.items() if value}


class BinarizeConfig(Section):
    """From tokens to memory-mapped shards."""

    workers: NonNegative = Field(default=0, json_schema_extra=EXECUTION)
    """Number of processes, which does not change the result; 0: one for each core."""


class ModelConfig(Section):
    """The deep LSTM encoder and decoder (section 3.4 of the paper)."""

    layers: Positive = 4
    """Number of LSTM layers of the encoder, and of the decoder."""
    cells: Positive = 1000
    """Number of cells of each layer."""
    embedding_size: Positive = 1000
    """Size of the word embeddings, source and target."""
    peepholes: bool = False
    """Use peephole connections (Graves 2013); slower than the layer without."""
    dropout: Rate = 0.0
    """Dropout rate of embeddings, between layers and before the output; not in time."""
    tie_embeddings: bool = False
    """Share target embeddings and output weights; cells are projected to their size."""
    bias: bool = True
    """Use a bias in the softmax layer."""
    init_range: Annotated[float, Field(gt=0.0)] = 0.08
    """Bound of the initial weights, uniform in [-init_range, init_range]."""


class TrainConfig(Section):
    """The training loop."""

    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    """Optimizer of the weights; the paper's is sgd, without momentum."""
    learning_rate: Annotated[float, Field(gt=0.0)] = 0.7
    """Learning rate before the schedule lowers it, and after the warmup."""
    schedule: Literal["constant", "halving", "inverse_sqrt", "cosine"] = "halving"
    """Schedule by which the learning rate falls; the paper's is halving."""
    warmup_steps: NonNegative = 0
    """Number of updates over which the learning rate rises from zero."""
    halve_after_epochs: Annotated[float, Field(ge=0.0)] = 5.0
    """`halving`: number of epochs before the first halving."""
    halve_every_epochs: Annotated[float, Field(gt=0.0)] = 0.5
    """`halving`: number of epochs between two halvings."""
    betas: tuple[Rate, Rate] = (0.9, 0.98)
    """`adam`, `adamw`: decay rates of the two moments."""
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.0
    """`adamw`: decoupled weight decay."""
    clip_norm: Annotated[float, Field(ge=0.0)] = 5.0
    """Largest L2 norm of the gradient over all parameters; 0 does not clip."""
    label_smoothing: Rate = 0.0
    """Label smoothing: probability mass spread evenly over the target vocabulary."""
    loss_per: Literal["sentence", "token"] = "sentence"
    """Unit whose number divides the summed loss of a batch; the paper's is sentence."""
    ema_decay: Rate = 0.0
    """Decay of the moving average of the weights, which is saved in their place; 0: no
    average."""
    batch_size: Positive = 128
    """Sentence pairs in a batch."""
    max_batch_tokens: Positive = 32_768
    """Most tokens on a side of a batch; batches of very long sentences are smaller."""
    max_epochs: Annotated[float, Field(gt=0.0)] = 7.5
    """Number of passes over the training pairs; may be a fraction."""
    max_steps: NonNegative = 0
    """Stop after so many updates; 0 means no limit."""
    max_minutes: Annotated[float, Field(ge=0.0)] = 0.0
    """Stop after so many minutes of updates, resumed runs included; 0: no limit."""
    validate_every_epochs: Annotated[float, Field(gt=0.0)] = 0.5
    """Number of epochs between two validations, each of which writes a checkpoint."""
    checkpoint_every_steps: NonNegative = 0
    """Write further checkpoints after so many updates; 0: only at validations."""
    valid_bleu: bool = False
    """Translate the validation split greedily at each validation and report BLEU."""
    best_by: Literal["perplexity", "bleu"] = "perplexity"
    """Metric that chooses the best checkpoint; `bleu` needs valid_bleu."""
    patience: NonNegative = 0
    """Stop after so many validations without a better one; 0 never stops early."""
    keep_last: Positive = 2
    """Number of the newest checkpoints that are kept."""
    keep_best: Positive = 1
    """Number of the best checkpoints that are kept."""
    seed: NonNegative = 1
    """Seed of the initial weights, of the order of batches and of dropout."""
    device: Device = Field(default="auto", json_schema_extra=EXECUTION)
    """Device (auto, cpu, cuda, cuda:N); auto takes a GPU when there is one."""
    precision: Literal["auto", "fp32", "tf32", "bf16"] = "auto"
    """Precision of matrix products; auto takes bf16 where the hardware has it, else
    fp32, and what it became is recorded in the manifest and in each checkpoint."""
    threads: NonNegative = Field(default=0, json_schema_extra=EXECUTION)
    """Number of CPU threads; 0 leaves the choice to torch."""
    tensorboard: bool = Field(default=False, json_schema_extra=EXECUTION)
    """Write TensorBoard events beside metrics.jsonl."""

    @model_validator(mode="after")
    def _best_by_is_measured(self) -> "TrainConfig":
        if self.best_by == "bleu" and not self.valid_bleu:
            raise ValueError("best_by = 'bleu' needs valid_bleu = true")
        return self


class TranslateConfig(Section):
    """Beam search, or sampling."""

    beam: Positive = 12
    """Number of hypotheses kept at each step; 1 is greedy search."""
    nbest: Positive = 1
    """Number of translations written for each sentence; more than the beam widen it."""
    search: Literal["standard", "paper"] = "standard"
    """Kind of beam search; `paper`: a finished hypothesis narrows the beam, and scores
    are not normalized by length. Greedy search is beam = 1."""
    length_penalty: Annotated[float, Field(ge=0.0)] | Literal["average"] = 0.6
    """Length normalization of `standard`: alpha of GNMT's penalty, 0 for none; or
    average, which divides by the number of tokens."""
    unk: Literal["allow", "forbid", "copy"] = "forbid"
    """How to treat <unk>: allow it, forbid it, or copy the source's unknown words in
    its place, in order."""
    ensemble: Literal["probabilities", "log_probabilities"] = "probabilities"
    """What is averaged where there are several models."""
    max_length_ratio: Annotated[float, Field(ge=0.0)] = 0.0
    """Longest output, in multiples of the source's tokens, before max_length_extra is
    added; 0: as the training pairs suggest."""
    max_length_extra: NonNegative = 10
    """Number of tokens that the longest output may have beyond max_length_ratio."""
    min_length: NonNegative = Field(default=0, json_schema_extra=LATER)
    """Fewest tokens of an output, EOS not counted; raises a lower length limit."""
    max_length: NonNegative = Field(default=0, json_schema_extra=LATER)
    """Most tokens of an output, EOS not counted, whatever the source's length; 0: as
    max_length_ratio and max_length_extra say."""
    sample: bool = Field(default=False, json_schema_extra=LATER)
    """Draw nbest translations at random from the model instead of searching; the beam
    and `search` do not apply."""
    top_k: NonNegative = Field(default=0, json_schema_extra=LATER)
    """`sample`: draw each token from this many most likely ones; 0: from all."""
    temperature: float = Field(default=1.0, gt=0.0, json_schema_extra=LATER)
    """`sample`: divides the logits; below 1, likely tokens become likelier."""
    seed: NonNegative = Field(default=1, json_schema_extra=LATER)
    """`sample`: seed of the draws; the same line gets the same draws in any file."""
    max_source_length: Positive = 1000
    """Longer source sentences are cut to so many tokens, with a warning."""
    precision: Literal["auto", "fp32", "tf32", "bf16", "int8"] = "auto"
    """Precision of matrix products; auto takes bf16 where the hardware has it, else
    fp32."""
    batch_size: NonNegative = Field(default=0, json_schema_extra=EXECUTION)
    """Most sentences translated together; 0: what suits the device and the beam."""
    max_batch_tokens: Positive = Field(default=16_384, json_schema_extra=EXECUTION)
    """Most source tokens translated together."""
    device: Device = Field(default="auto", json_schema_extra=EXECUTION)
    """Device (auto, cpu, cuda, cuda:N); auto takes a GPU when there is one."""
    threads: NonNegative = Field(default=0, json_schema_extra=EXECUTION)
    """Number of CPU threads; 0 leaves the choice to torch."""

    @model_validator(mode="after")
    def _lengths_fit(self) -> "TranslateConfig":
        if 0 < self.max_length < self.min_length:
            raise ValueError(
                f"min_length ({self.min_length}) exceeds max_length ({self.max_length})"
            )
        return self

    def fingerprinted(self) -> dict[str, Any]:
        """The settings that can change a result; those of `sample` only with it."""
        settings = super().fingerprinted()
        if not self.sample:
            for name in ("top_k", "temperature", "seed"):
                settings.pop(name, None)
        return settings


class ScoreConfig(Section):
    """Metrics of a translation."""

    lowercase: bool | Literal["auto"] = "auto"
    """Ignore case in every metric; auto: as preprocess.lowercase, but with s2s score
    --ref case counts. The signatures say so."""
    bootstrap_samples: NonNegative = 1000
    """Number of resamplings for the 95 % confidence intervals; 0 leaves them out."""
    seed: NonNegative = 12345
    """Seed of the resampling."""

    @property
    def ignores_case(self) -> bool:
        """Whether to ignore case; `auto` without a model does not."""
        return self.lowercase is True


class Config(Section):
    """All settings of a project."""

    recipe: str = "numbers"
    """Recipe whose values hold where s2s.toml is silent."""
    data: DataConfig = DataConfig()
    preprocess: PreprocessConfig = PreprocessConfig()
    binarize: BinarizeConfig = BinarizeConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    translate: TranslateConfig = TranslateConfig()
    score: Annotated[ScoreConfig, Field(validate_default=True)] = ScoreConfig()

    @field_validator("score")
    @classmethod
    def _scored_in_the_models_case(
        cls, score: ScoreConfig, info: ValidationInfo
    ) -> ScoreConfig:
        """Resolve `auto`, so that nothing else depends on another section."""
        if score.lowercase != "auto" or "preprocess" not in info.data:
            return score
        lowercase = info.data["preprocess"].lowercase
        return score.model_copy(update={"lowercase": lowercase})

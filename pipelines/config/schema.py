"""What can be set: one frozen model for each section of `s2s.toml`.

A field's description gives its meaning and unit; `s2s config show` prints it. Settings
marked `EXECUTION` change no result but by rounding and stay out of the fingerprints.
Settings marked `ADDED` came after projects had been made without them: at their
default, which does what was done before, they stay out, too, so that those projects
stay fresh.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

EXECUTION: Any = {"execution": True}
ADDED: Any = {"fingerprint": "unless default"}

Pair = Annotated[tuple[str, ...], Field(max_length=2)]
NonNegative = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(ge=0.0, lt=1.0)]


class Section(BaseModel):
    """A section of `s2s.toml`: unknown keys are refused, values do not change."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    def fingerprinted(self) -> dict[str, Any]:
        """The settings that can change a result, as plain JSON values."""
        omitted = {
            name
            for name, field in type(self).model_fields.items()
            if field.json_schema_extra == EXECUTION
            or (
                field.json_schema_extra == ADDED
                and getattr(self, name) == field.default
            )
        }
        return self.model_dump(mode="json", exclude=omitted)


class DataConfig(Section):
    """The user's parallel text: [source file, target file] for each split."""

    source_lang: str = "en"
    """Language code of the source side, for the tokenizer."""
    target_lang: str = "fr"
    """Language code of the target side, for the tokenizer."""
    train: Pair = ()
    """Training pairs; plain text, .gz or .zst; relative to the project's folder."""
    valid: Pair = ()
    """Pairs for validation during training."""
    test: Pair = ()
    """Pairs that are translated and scored at the end; may be left out."""

    @model_validator(mode="after")
    def _pairs_have_two_files(self) -> "DataConfig":
        for split in ("train", "valid", "test"):
            if len(getattr(self, split)) == 1:
                raise ValueError(f"{split} needs two files: [source, target]")
        return self

    def splits(self) -> dict[str, tuple[str, str]]:
        """The splits that are set, in order: name -> (source file, target file)."""
        named = {"train": self.train, "valid": self.valid, "test": self.test}
        return {name: (p[0], p[1]) for name, p in named.items() if p}


class PreprocessConfig(Section):
    """From raw text to tokens and vocabularies."""

    tokenizer: Literal["moses", "sentencepiece", "characters", "none"] = "moses"
    """How a line becomes tokens; `none` splits at blanks: already tokenized."""
    sentencepiece_model: Literal["bpe", "unigram"] = "bpe"
    """Kind of SentencePiece model that is trained."""
    sentencepiece_joint: bool = False
    """One SentencePiece model for both sides instead of one each."""
    sentencepiece_vocab_size: Positive = 8000
    """Pieces of a SentencePiece model; fewer where the text is too small for them."""
    sentencepiece_sample_size: Positive = 1_000_000
    """Lines (seeded sample) from which a SentencePiece model is trained."""
    lowercase: bool = False
    """Lower-case both sides."""
    normalization: Literal["none", "nfc"] = "nfc"
    """Unicode normalization of both sides."""
    source_vocab_size: Annotated[int, Field(ge=4)] = 160_000
    """Most entries of the source vocabulary, its 3 special symbols included."""
    target_vocab_size: Annotated[int, Field(ge=4)] = 80_000
    """Most entries of the target vocabulary, its 3 special symbols included."""
    min_count: Positive = 1
    """Tokens seen less often in the training text become <unk>."""
    reverse_source: bool = True
    """Feed the source last word first (section 3.3 of the paper)."""
    max_length: NonNegative = 0
    """Drop training and validation pairs with more tokens on a side; 0 keeps all."""
    max_ratio: Annotated[float, Field(ge=0.0)] = 0.0
    """Drop pairs when one side is this many times longer than the other; 0 keeps."""
    seed: NonNegative = 1
    """Seed of the sample for SentencePiece."""
    part_size: Positive = 20_000
    """Pairs in one part file."""
    workers: NonNegative = Field(default=0, json_schema_extra=EXECUTION)
    """Processes; 0 means one for each core. The result is the same for any number."""


class BinarizeConfig(Section):
    """From tokens to memory-mapped shards."""

    workers: NonNegative = Field(default=0, json_schema_extra=EXECUTION)
    """Processes; 0 means one for each core. The result is the same for any number."""


class ModelConfig(Section):
    """The deep LSTM encoder and decoder (section 3.4 of the paper)."""

    layers: Positive = 4
    """LSTM layers of the encoder, and of the decoder."""
    cells: Positive = 1000
    """Cells of each layer."""
    embedding_size: Positive = 1000
    """Size of the word embeddings, source and target."""
    peepholes: bool = False
    """Peephole connections (Graves 2013); slower than the layer without."""
    dropout: Rate = 0.0
    """Dropout on the embeddings, between layers and before the output; not in time."""
    tie_embeddings: bool = False
    """Share target embeddings and output weights; cells are projected to their size."""
    bias: bool = True
    """Bias in the softmax layer."""
    init_range: Annotated[float, Field(gt=0.0)] = 0.08
    """Weights start uniform in [-init_range, init_range]."""


class TrainConfig(Section):
    """The training loop."""

    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    """SGD without momentum is the paper's."""
    learning_rate: Annotated[float, Field(gt=0.0)] = 0.7
    """Highest learning rate."""
    schedule: Literal["constant", "halving", "inverse_sqrt", "cosine"] = "halving"
    """How the learning rate falls; `halving` is the paper's."""
    warmup_steps: NonNegative = 0
    """Updates over which the learning rate rises from zero."""
    halve_after_epochs: Annotated[float, Field(ge=0.0)] = 5.0
    """`halving`: the first halving comes after this many epochs."""
    halve_every_epochs: Annotated[float, Field(gt=0.0)] = 0.5
    """`halving`: and every following one after so many more."""
    betas: tuple[Rate, Rate] = (0.9, 0.98)
    """Adam's decay rates of the two moments."""
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.0
    """AdamW's decoupled weight decay."""
    clip_norm: Annotated[float, Field(ge=0.0)] = 5.0
    """Largest L2 norm of the gradient over all parameters; 0 does not clip."""
    label_smoothing: Rate = 0.0
    """Probability mass spread evenly over the target vocabulary."""
    loss_per: Literal["sentence", "token"] = "sentence"
    """What the summed loss of a batch is divided by; `sentence` is the paper's."""
    ema_decay: Rate = 0.0
    """Decay of the moving average of the weights, which is what is saved; 0: off."""
    batch_size: Positive = 128
    """Sentence pairs in a batch."""
    max_batch_tokens: Positive = 32_768
    """Most tokens on a side of a batch; batches of very long sentences are smaller."""
    max_epochs: Annotated[float, Field(gt=0.0)] = 7.5
    """Passes over the training pairs; may be a fraction."""
    max_steps: NonNegative = 0
    """Stop after so many updates; 0 means no limit."""
    max_minutes: Annotated[float, Field(ge=0.0)] = 0.0
    """Stop after so many minutes of updates, resumed runs included; 0: no limit."""
    validate_every_epochs: Annotated[float, Field(gt=0.0)] = 0.5
    """Epochs between two validations, each of which writes a checkpoint."""
    checkpoint_every_steps: NonNegative = 0
    """Write further checkpoints after so many updates; 0: only at validations."""
    valid_bleu: bool = False
    """Translate the validation split greedily at each validation and report BLEU."""
    best_by: Literal["perplexity", "bleu"] = "perplexity"
    """What chooses the best checkpoint; `bleu` needs valid_bleu."""
    patience: NonNegative = 0
    """Stop after so many validations without a better one; 0 never stops early."""
    keep_last: Positive = 2
    """Newest checkpoints that are kept."""
    keep_best: Positive = 1
    """Best checkpoints that are kept."""
    seed: NonNegative = 1
    """Seed of the initial weights, of the order of batches and of dropout."""
    device: str = Field(
        default="auto",
        pattern=r"^(auto|cpu|cuda(:\d+)?)$",
        json_schema_extra=EXECUTION,
    )
    """auto, cpu, cuda or cuda:N; auto takes a GPU when there is one."""
    precision: Literal["auto", "fp32", "tf32", "bf16"] = "auto"
    """Precision of matrix products; auto takes bf16 where the hardware has it, else
    fp32, and what it became is recorded in the manifest and in each checkpoint."""
    threads: NonNegative = Field(default=0, json_schema_extra=EXECUTION)
    """CPU threads; 0 leaves the choice to torch."""
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
    """Hypotheses kept at each step; 1 is greedy search."""
    nbest: Positive = 1
    """Translations written for each sentence; more than the beam widen it."""
    search: Literal["standard", "paper"] = "standard"
    """`paper`: a finished hypothesis narrows the beam, and no length normalization."""
    length_penalty: Annotated[float, Field(ge=0.0)] | Literal["average"] = 0.6
    """`standard`: alpha of GNMT's penalty, 0 for none; or average: for each token."""
    unk: Literal["allow", "forbid", "copy"] = "forbid"
    """Writing <unk>; copy puts the source's unknown words in its place, in order."""
    ensemble: Literal["probabilities", "log_probabilities"] = "probabilities"
    """Of what the mean is taken where there are several models."""
    max_length_ratio: Annotated[float, Field(ge=0.0)] = 0.0
    """Longest output: so many times the source's tokens, and max_length_extra; 0: as
    the training pairs suggest."""
    max_length_extra: NonNegative = 10
    """Tokens that the longest output may have beyond max_length_ratio."""
    min_length: NonNegative = Field(default=0, json_schema_extra=ADDED)
    """Fewest tokens of an output, EOS not counted; raises a lower length limit."""
    max_length: NonNegative = Field(default=0, json_schema_extra=ADDED)
    """Most tokens of an output, EOS not counted, whatever the source's length; 0: as
    max_length_ratio and max_length_extra say."""
    sample: bool = Field(default=False, json_schema_extra=ADDED)
    """Draw nbest translations at random from the model instead of searching; the beam
    and `search` do not apply."""
    top_k: NonNegative = Field(default=0, json_schema_extra=ADDED)
    """`sample`: draw each token from this many most likely ones; 0: from all."""
    temperature: float = Field(default=1.0, gt=0.0, json_schema_extra=ADDED)
    """`sample`: divides the logits; below 1, likely tokens become likelier."""
    seed: NonNegative = Field(default=1, json_schema_extra=ADDED)
    """`sample`: seed of the draws; the same line gets the same draws in any file."""
    max_source_length: Positive = 1000
    """Longer source sentences are cut to so many tokens, with a warning."""
    precision: Literal["auto", "fp32", "tf32", "bf16", "int8"] = "auto"
    """Of matrix products; auto takes bf16 where the hardware has it, else fp32."""
    batch_size: NonNegative = Field(default=0, json_schema_extra=EXECUTION)
    """Most sentences translated together; 0: what suits the device and the beam."""
    max_batch_tokens: Positive = Field(default=16_384, json_schema_extra=EXECUTION)
    """Most source tokens translated together."""
    device: str = Field(
        default="auto",
        pattern=r"^(auto|cpu|cuda(:\d+)?)$",
        json_schema_extra=EXECUTION,
    )
    """auto, cpu, cuda or cuda:N."""
    threads: NonNegative = Field(default=0, json_schema_extra=EXECUTION)
    """CPU threads; 0 leaves the choice to torch."""

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

    lowercase: bool = False
    """Ignore case in every metric; the signatures say so."""
    bootstrap_samples: NonNegative = 1000
    """Resamplings for the 95 % confidence intervals; 0 leaves them out."""
    seed: NonNegative = 12345
    """Seed of the resampling."""


class Config(Section):
    """All settings of a project."""

    recipe: str = "numbers"
    """The recipe whose values hold where s2s.toml is silent."""
    data: DataConfig = DataConfig()
    preprocess: PreprocessConfig = PreprocessConfig()
    binarize: BinarizeConfig = BinarizeConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    translate: TranslateConfig = TranslateConfig()
    score: ScoreConfig = ScoreConfig()

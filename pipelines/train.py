"""Stage 3: shards become a model.

    binarize/ + preprocess/text/ -> train/checkpoints/step-*/, latest.json, best.json,
                                    metrics.jsonl, run.json, manifest.json

The folder grows while training runs, so that a killed run can be resumed;
`manifest.json` comes at the end. `pipelines.project.runs` says whose folder it is.
"""

import logging
from typing import Any

from pipelines.artifacts.corpora import decoded_lines_of
from pipelines.artifacts.layout import TEXT, Layout
from pipelines.artifacts.manifest import Manifest, write_manifest
from pipelines.artifacts.run_record import record_arithmetic
from pipelines.config import Config, TranslateConfig
from pipelines.data.dataset import ParallelDataset
from pipelines.distributed.process_group import DistributedContext
from pipelines.metrics.bleu import bleu_detokenised
from pipelines.model.engine.device import choose_device, cpu_for_training, describe
from pipelines.model.engine.packed_linear import choose_linear
from pipelines.model.engine.precision import choose_precision
from pipelines.model.inference import InferenceSeq2Seq
from pipelines.model.seq2seq import Seq2Seq, initialize
from pipelines.progress import SILENT, Progress
from pipelines.project.runs import claim
from pipelines.project.stages import new_manifest
from pipelines.search.ensemble import Ensemble
from pipelines.search.loading import LoadedEnsemble
from pipelines.search.translator import Translator
from pipelines.text.pipeline import TextPipeline
from pipelines.trainer.checkpoints import CheckpointManager
from pipelines.trainer.loop import Trainer
from pipelines.trainer.train_state import TrainState
from pipelines.trainer.validation import Bleu
from pipelines.wording import plural

log = logging.getLogger(__name__)


def run(
    config: Config,
    layout: Layout,
    *,
    progress: Progress = SILENT,
    distributed: DistributedContext | None = None,
) -> Manifest:
    """Train until the end, from the newest sound checkpoint of this run if it has one.

    Args:
        config: The project's settings.
        layout: Its folders.
        progress: Where to show.
        distributed: This process, the first one, among those that train together.

    Raises:
        Interrupted: A signal asked to stop; a checkpoint is written.
        DivergenceError: The loss is not finite.
        OutOfMemoryError: A batch is too large.
        ArtifactError: A shard or the text pipeline is damaged.
    """
    key = claim(config, layout)
    with cpu_for_training(config.train.threads):
        trainer = _make_trainer(
            config, layout, key, progress=progress, distributed=distributed
        )
        record_arithmetic(layout.train, trainer.arithmetic)
        position = trainer.fit()
    _tell(position)
    counts = _counts(position, trainer.model.count_parameters().total)
    manifest = new_manifest(
        "train", config, layout, counts, arithmetic=trainer.arithmetic
    )
    return write_manifest(layout.train, manifest)


def follow(config: Config, layout: Layout, *, distributed: DistributedContext) -> None:
    """Train together with the first process, which writes; arguments as `run`."""
    with cpu_for_training(config.train.threads):
        _make_trainer(
            config, layout, "", progress=SILENT, distributed=distributed
        ).fit()


def _make_trainer(
    config: Config,
    layout: Layout,
    key: str,
    *,
    progress: Progress,
    distributed: DistributedContext | None,
) -> Trainer:
    settings, distributed = config.train, distributed or DistributedContext()
    device = choose_device(settings.device, local_rank=distributed.local_rank)
    precision = choose_precision(settings.precision, device)
    text = layout.preprocess / TEXT
    pipeline = TextPipeline.load(text)
    hashes = pipeline.source_vocab.sha256, pipeline.target_vocab.sha256
    data = {
        split: ParallelDataset.open(layout.binarize, split)
        for split in ("train", "valid")
    }
    for dataset in data.values():
        dataset.require_vocabularies(*hashes)

    sizes = len(pipeline.source_vocab), len(pipeline.target_vocab)
    length_ratio = data["train"].length_ratio()
    model = Seq2Seq(config.model, *sizes)
    initialize(model, init_range=config.model.init_range, seed=settings.seed)
    model.to(device)
    trainer = Trainer(
        model,
        settings,
        train=data["train"],
        valid=data["valid"],
        store=CheckpointManager(
            layout.train,
            settings,
            text=text,
            run=key,
            model_info={
                "model": config.model.model_dump(),
                "src_vocab_size": sizes[0],
                "tgt_vocab_size": sizes[1],
                "length_ratio": length_ratio,
            },
        ),
        progress=progress,
        bleu=_validation_bleu(config, layout, pipeline, length_ratio)
        if settings.valid_bleu
        else None,
        distributed=distributed,
    )
    counted = model.count_parameters()
    log.info(
        "training on %s%s in %s: %.1fM parameters (%.1fM recurrent), %s, %s of %d",
        f"{distributed.size} x " if distributed.size > 1 else "",
        describe(device),
        precision,
        counted.total / 1e6,
        counted.recurrent / 1e6,
        plural(len(data["train"]), "pair"),
        plural(trainer.total_steps, "step"),
        settings.batch_size,
    )
    return trainer


def _validation_bleu(
    config: Config, layout: Layout, pipeline: TextPipeline, length_ratio: float
) -> Bleu:
    """Greedy translation of the validation text as it came, scored against it.

    Case is ignored where the model knows none. `score.lowercase` has no say: it is not
    in the fingerprint of training, and BLEU may choose the best checkpoint.
    """
    src, tgt = validation_text(config, layout)
    greedy = TranslateConfig(beam=1, batch_size=config.translate.batch_size)
    precision = config.train.precision

    def bleu(model: Seq2Seq) -> float:
        device = next(model.parameters()).device
        linears = choose_linear(precision, device)
        member = InferenceSeq2Seq(model, linears, device=device)
        loaded = LoadedEnsemble(Ensemble([member]), pipeline, device, length_ratio)
        translator = Translator(loaded, greedy)
        output = [found.text for found in translator.translate(src)]
        return bleu_detokenised(output, tgt, lowercase=pipeline.lowercase).value

    return bleu


def validation_text(config: Config, layout: Layout) -> list[list[str]]:
    """Read the lines of all validation corpora: sources and targets.

    Raises:
        CorpusError: A file cannot be read.
    """
    sides = zip(*config.data.splits()["valid"], strict=True)
    return [list(decoded_lines_of(layout.root, names)) for names in sides]


def _counts(position: TrainState, num_parameters: int) -> dict[str, Any]:
    best = position.best
    return {
        "steps": position.step,
        "best_step": position.best_step,
        "parameters": num_parameters,
        "valid_perplexity": best.perplexity if best else None,
        "valid_bleu": best.bleu if best else None,
        "training_s": round(position.elapsed_s, 1),
        "words": position.num_words,
    }


def _tell(position: TrainState) -> None:
    best = position.best
    log.info(
        "trained %s in %.0f s, %.0f words/s; best step %d, valid perplexity %s",
        plural(position.step, "step"),
        position.elapsed_s,
        position.num_words / max(position.elapsed_s, 1e-9),
        position.best_step,
        f"{best.perplexity:.2f}" if best else "unknown",
    )

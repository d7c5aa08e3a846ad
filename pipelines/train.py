"""Stage 3: train a model on the shards.

    binarize/ + preprocess/text/ -> train/checkpoints/step-*/, latest.json, best.json,
                                    metrics.jsonl, run.json, manifest.json

The folder grows while training runs, so that a killed training can resume;
`manifest.json` is written at the end. `pipelines.project.runs` decides which training
the folder belongs to.
"""

import logging
from typing import Any

from pipelines.artifacts.layout import TEXT, Layout
from pipelines.artifacts.manifest import Manifest, write_manifest
from pipelines.artifacts.run_record import record_arithmetic
from pipelines.config import Config
from pipelines.data.dataset import ParallelDataset
from pipelines.distributed.process_group import DistributedContext
from pipelines.model.engine.device import choose_device, cpu_for_training, describe
from pipelines.model.engine.precision import choose_precision
from pipelines.model.seq2seq import Seq2Seq, initialize
from pipelines.progress import SILENT, Progress
from pipelines.project.runs import claim
from pipelines.project.stages import new_manifest
from pipelines.text.pipeline import TextPipeline
from pipelines.trainer.checkpoints import CheckpointManager
from pipelines.trainer.loop import Trainer
from pipelines.trainer.train_state import TrainState
from pipelines.trainer.validation_bleu import ValidationBleu
from pipelines.wording import plural

log = logging.getLogger(__name__)


def run(
    config: Config,
    layout: Layout,
    *,
    progress: Progress = SILENT,
    distributed: DistributedContext | None = None,
) -> Manifest:
    """Train to the end, resuming from the newest sound checkpoint of this training.

    Args:
        config: The project's settings.
        layout: Its folders.
        progress: Shows the training and its validations.
        distributed: The processes that train together; this one has rank 0.

    Raises:
        Interrupted: A signal asked to stop; a checkpoint is written.
        DivergenceError: The loss is not finite.
        OutOfMemoryError: A batch is too large.
        ArtifactError: A shard or the text pipeline is damaged.
    """
    run_key = claim(config, layout)
    distributed = distributed or DistributedContext()
    with cpu_for_training(config.train.threads):
        trainer = _make_trainer(config, layout, run_key, progress, distributed)
        record_arithmetic(layout.train, trainer.arithmetic)
        state = trainer.fit()
    _log_summary(state)
    counts = _counts(state, trainer.model.count_parameters().total)
    manifest = new_manifest(
        "train", config, layout, counts, arithmetic=trainer.arithmetic
    )
    return write_manifest(layout.train, manifest)


def run_worker(
    config: Config, layout: Layout, *, distributed: DistributedContext
) -> None:
    """Train together with rank 0, which does all writing; raises as `run`."""
    with cpu_for_training(config.train.threads):
        _make_trainer(config, layout, "", SILENT, distributed).fit()


def _make_trainer(
    config: Config,
    layout: Layout,
    run_key: str,
    progress: Progress,
    distributed: DistributedContext,
) -> Trainer:
    settings = config.train
    device = choose_device(settings.device, local_rank=distributed.local_rank)
    precision = choose_precision(settings.precision, device)
    text = layout.preprocess / TEXT
    pipeline = TextPipeline.load(text)
    train, valid = (
        _open_dataset(layout, split, pipeline) for split in ("train", "valid")
    )
    length_ratio = train.length_ratio()

    vocab_sizes = len(pipeline.source_vocab), len(pipeline.target_vocab)
    model = Seq2Seq(config.model, *vocab_sizes)
    initialize(model, init_range=config.model.init_range, seed=settings.seed)
    model.to(device)
    model_info = {
        "model": config.model.model_dump(),
        "src_vocab_size": vocab_sizes[0],
        "tgt_vocab_size": vocab_sizes[1],
        "length_ratio": length_ratio,
    }
    checkpoints = CheckpointManager(
        layout.train, settings, text=text, run=run_key, model_info=model_info
    )
    bleu = None
    if settings.valid_bleu:
        bleu = ValidationBleu(
            config, layout, pipeline=pipeline, length_ratio=length_ratio
        )
    trainer = Trainer(
        model,
        settings,
        train=train,
        valid=valid,
        checkpoints=checkpoints,
        progress=progress,
        bleu=bleu,
        distributed=distributed,
    )
    parameters = model.count_parameters()
    log.info(
        "training on %s%s in %s: %.1fM parameters (%.1fM recurrent), %s, %s of %d",
        f"{distributed.size} x " if distributed.size > 1 else "",
        describe(device),
        precision,
        parameters.total / 1e6,
        parameters.recurrent / 1e6,
        plural(len(train), "pair"),
        plural(trainer.total_steps, "step"),
        settings.batch_size,
    )
    return trainer


def _open_dataset(
    layout: Layout, split: str, pipeline: TextPipeline
) -> ParallelDataset:
    """Open the shards of a split, which must have the pipeline's vocabularies."""
    dataset = ParallelDataset.open(layout.binarize, split)
    dataset.require_vocabularies(
        pipeline.source_vocab.sha256, pipeline.target_vocab.sha256
    )
    return dataset


def _counts(state: TrainState, num_parameters: int) -> dict[str, Any]:
    best = state.best
    return {
        "steps": state.step,
        "best_step": state.best_step,
        "parameters": num_parameters,
        "valid_perplexity": best.perplexity if best else None,
        "valid_bleu": best.bleu if best else None,
        "training_s": round(state.elapsed_s, 1),
        "words": state.num_words,
    }


def _log_summary(state: TrainState) -> None:
    best = state.best
    log.info(
        "trained %s in %.0f s, %.0f words/s; best step %d, valid perplexity %s",
        plural(state.step, "step"),
        state.elapsed_s,
        state.num_words / max(state.elapsed_s, 1e-9),
        state.best_step,
        f"{best.perplexity:.2f}" if best else "unknown",
    )

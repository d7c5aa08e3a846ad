"""Stage 3: shards become a model.

    binarize/ + preprocess/text/ -> train/checkpoints/step-*/, latest.json, best.json,
                                    metrics.jsonl, run.json, manifest.json

The folder grows while training runs, so that a killed run goes on; `manifest.json`
comes at the end. A run with other settings never overwrites this one: it is set aside
as `train.aside-<run>` and taken up again when its settings come back.
"""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines import plan
from pipelines.artifacts.corpus import decoded_lines
from pipelines.artifacts.files import write_atomic
from pipelines.artifacts.layout import MANIFEST, RUN, TEXT, Layout
from pipelines.artifacts.manifest import Manifest, fingerprint, write_manifest
from pipelines.config import Config, TranslateConfig
from pipelines.data.dataset import ParallelDataset
from pipelines.metrics.bleu import detokenised_bleu
from pipelines.model.device import choose_device, describe, prepare_cpu
from pipelines.model.precision import choose_precision
from pipelines.model.seq2seq import Seq2Seq, initialize
from pipelines.progress import SILENT, Progress
from pipelines.search.translator import Translator
from pipelines.text.pipeline import TextPipeline
from pipelines.trainer.loop import Trainer
from pipelines.trainer.position import Position
from pipelines.trainer.store import CheckpointStore
from pipelines.trainer.validation import Bleu
from pipelines.trainer.world import World

log = logging.getLogger(__name__)

_LIMITS = ("patience", "max_minutes", "keep_last", "keep_best")
"""Settings that may change between two sittings of one training run."""
_LENGTHS = ("max_epochs", "max_steps")
"""The same, unless the learning rate depends on them."""


def run(
    config: Config,
    layout: Layout,
    *,
    progress: Progress = SILENT,
    world: World | None = None,
) -> Manifest:
    """Train until the end, going on from the newest sound checkpoint of this run.

    Args:
        config: The project's settings.
        layout: Its folders.
        progress: Where to show.
        world: This process, the first one, among those that train together.

    Raises:
        Interrupted: A signal asked to stop; a checkpoint is written.
        DivergenceError: The loss is not finite.
        OutOfMemoryError: A batch is too large.
        ArtifactError: A shard or the text pipeline is damaged.
    """
    identity = plan.identity("train", config, layout)
    key = _claim_folder(layout.train, config, identity)
    trainer = _make_trainer(config, layout, key, progress=progress, world=world)
    position = trainer.fit()
    _tell(position)
    counts = _counts(position, trainer.model.count_parameters().total)
    manifest = plan.new_manifest("train", config, layout, counts)
    return write_manifest(layout.train, manifest)


def follow(config: Config, layout: Layout, *, world: World) -> None:
    """Train together with the first process, which writes; arguments as `run`."""
    _make_trainer(config, layout, "", progress=SILENT, world=world).fit()


def _make_trainer(
    config: Config,
    layout: Layout,
    key: str,
    *,
    progress: Progress,
    world: World | None,
) -> Trainer:
    settings, world = config.train, world or World()
    prepare_cpu(settings.threads)
    device = choose_device(settings.device, local_rank=world.local_rank)
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
    model = Seq2Seq(config.model, *sizes)
    initialize(model, init_range=config.model.init_range, seed=settings.seed)
    model.to(device)
    trainer = Trainer(
        model,
        settings,
        train=data["train"],
        valid=data["valid"],
        store=CheckpointStore(
            layout.train,
            settings,
            text=text,
            run=key,
            model_info={
                "model": config.model.model_dump(),
                "src_vocab_size": sizes[0],
                "tgt_vocab_size": sizes[1],
            },
        ),
        progress=progress,
        bleu=_validation_bleu(config, layout, pipeline)
        if settings.valid_bleu
        else None,
        world=world,
    )
    counted = model.count_parameters()
    log.info(
        "training on %s%s in %s: %.1fM parameters (%.1fM recurrent), %d pairs, "
        "%d steps of %d",
        f"{world.size} x " if world.size > 1 else "",
        describe(device),
        precision,
        counted.total / 1e6,
        counted.recurrent / 1e6,
        len(data["train"]),
        trainer.total_steps,
        settings.batch_size,
    )
    return trainer


def resumable_key(
    settings: Mapping[str, Any], inputs: Mapping[str, str], *, schedule: str
) -> str:
    """Name a training run: what must be the same for it to go on.

    Limits may change between two sittings: `s2s train --set train.max_epochs=20`
    continues a run of 10 epochs, unless its schedule was drawn for exactly 10.
    """
    free = _LIMITS if schedule == "cosine" else (*_LIMITS, *_LENGTHS)
    names = {f"train.{name}" for name in free}
    fixed = {key: value for key, value in settings.items() if key not in names}
    return fingerprint("run", fixed, inputs)[:12]


def _claim_folder(folder: Path, config: Config, identity: plan.Identity) -> str:
    """Make `train/` the folder of this run, keeping what other runs have left."""
    key = resumable_key(
        identity.settings, identity.inputs, schedule=config.train.schedule
    )
    found = _run_of(folder)
    if found is not None and found != key:
        _move_aside(folder, f"{folder.name}.aside-{found}")
    earlier = folder.with_name(f"{folder.name}.aside-{key}")
    if not folder.exists() and earlier.exists():
        earlier.rename(folder)
        log.info("taking up %s again", earlier.name)
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).unlink(missing_ok=True)
    content = {
        "run": key,
        "settings": dict(identity.settings),
        "inputs": dict(identity.inputs),
    }
    write_atomic(folder / RUN, (json.dumps(content, indent=2) + "\n").encode())
    return key


def set_aside(config: Config, layout: Layout) -> None:
    """Move earlier training out of the way for good: training starts afresh."""
    folder = layout.train
    identity = plan.identity("train", config, layout)
    key = resumable_key(
        identity.settings, identity.inputs, schedule=config.train.schedule
    )
    for earlier in (folder, folder.with_name(f"{folder.name}.aside-{key}")):
        found = _run_of(earlier)
        if found is not None:
            _move_aside(earlier, f"{folder.name}.kept-{found}")


def _move_aside(folder: Path, name: str) -> None:
    """Give a run's folder another name, numbered where that is taken."""
    aside = folder.with_name(name)
    number = 1
    while aside.exists():
        number += 1
        aside = folder.with_name(f"{name}-{number}")
    folder.rename(aside)
    log.info("the earlier training is kept as %s", aside.name)


def _run_of(folder: Path) -> str | None:
    try:
        content = json.loads((folder / RUN).read_bytes())
    except (OSError, ValueError):
        return "unknown" if folder.exists() and any(folder.iterdir()) else None
    return str(content.get("run", "unknown"))


def _validation_bleu(config: Config, layout: Layout, pipeline: TextPipeline) -> Bleu:
    """Greedy translation of the validation text as it came, scored against it.

    Case is ignored where the model knows none. `score.lowercase` has no say: it is not
    in the fingerprint of training, and BLEU may choose the best checkpoint.
    """
    src, tgt = (layout.root / name for name in config.data.valid)
    lines = [list(decoded_lines(path)) for path in (src, tgt)]
    greedy = TranslateConfig(beam=1, batch_size=config.translate.batch_size)

    def bleu(model: Seq2Seq) -> float:
        device = next(model.parameters()).device
        translator = Translator([model], pipeline, greedy, device=device)
        output = [found.text for found in translator.translate(lines[0])]
        return detokenised_bleu(output, lines[1], lowercase=pipeline.lowercase)

    return bleu


def _counts(position: Position, num_parameters: int) -> dict[str, Any]:
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


def _tell(position: Position) -> None:
    best = position.best
    log.info(
        "trained %d steps in %.0f s, %.0f words/s; best step %d, valid perplexity %s",
        position.step,
        position.elapsed_s,
        position.num_words / max(position.elapsed_s, 1e-9),
        position.best_step,
        f"{best.perplexity:.2f}" if best else "unknown",
    )

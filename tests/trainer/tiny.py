"""A model that trains in a second: to reverse sequences of tokens."""

import torch

from pipelines.artifacts.shards import write_shard
from pipelines.config import ModelConfig, TrainConfig
from pipelines.data.batch import Batch
from pipelines.data.dataset import ParallelDataset
from pipelines.data.loader import LoadedBatch
from pipelines.model.seq2seq import Seq2Seq, initialize
from pipelines.progress import SILENT
from pipelines.trainer.checkpoints import CheckpointManager
from pipelines.trainer.loop import Trainer

MODEL = ModelConfig(layers=1, cells=8, embedding_size=6, dropout=0.3)
TRAIN = TrainConfig(
    optimizer="adam",
    learning_rate=0.01,
    schedule="constant",
    ema_decay=0.9,
    batch_size=4,
    max_epochs=4,
    validate_every_epochs=1.0,
)


def write_data(folder):
    """Write the training and validation pairs and an empty text pipeline."""
    generator = torch.Generator().manual_seed(1)
    (folder / "binarize").mkdir()
    for split, count in (("train", 40), ("valid", 10)):
        src = [
            torch.randint(3, 9, (3 + n % 4,), generator=generator).tolist()
            for n in range(count)
        ]
        tgt = [[*reversed(ids), 2] for ids in src]
        src = [[*ids, 2] for ids in src]
        shard = folder / "binarize" / f"{split}.00000.safetensors"
        write_shard(shard, src, tgt, metadata={})
    (folder / "text").mkdir()
    (folder / "text" / "pipeline.json").write_text("{}")


def make_trainer(
    folder,
    name,
    config=TRAIN,
    *,
    progress=SILENT,
    settings=MODEL,
    device="cpu",
    **other,
):
    """Make the trainer of `folder / name` on the data in `folder`."""
    model = Seq2Seq(settings, 9, 9)
    initialize(model, init_range=0.1, seed=config.seed)
    model.to(device)
    sizes = {"src_vocab_size": 9, "tgt_vocab_size": 9}
    checkpoints = CheckpointManager(
        folder / name,
        config,
        text=folder / "text",
        run="run",
        model_info={"model": settings.model_dump(), **sizes},
    )
    (folder / name / "checkpoints").mkdir(parents=True, exist_ok=True)
    train, valid = (
        ParallelDataset.open(folder / "binarize", split) for split in ("train", "valid")
    )
    return Trainer(
        model,
        config,
        train=train,
        valid=valid,
        checkpoints=checkpoints,
        progress=progress,
        **other,
    )


def as_loaded(batch: Batch) -> LoadedBatch:
    """A batch as the loader hands it to the only process."""
    return LoadedBatch(
        batch=batch,
        weight=1.0,
        pair_ids=batch.pair_ids,
        num_tgt_tokens=batch.num_tgt_tokens,
        num_words=batch.num_words,
        ends_epoch=False,
    )


def weights(trainer):
    """All weights of the model in one vector."""
    return torch.cat([p.detach().flatten() for p in trainer.model.parameters()])

"""SentencePiece models of a project: trained on its text, or supplied by the user."""

import logging
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TypeVar

from pipelines.artifacts.corpus import decoded_lines
from pipelines.artifacts.layout import SOURCE_MODEL, TARGET_MODEL
from pipelines.config import PreprocessConfig
from pipelines.text.normalise import is_blank
from pipelines.text.pipeline import TextPipeline
from pipelines.text.tokenizers.sentencepiece_model import (
    SentencePieceTokenizer,
    train_sentencepiece,
)
from pipelines.wording import plural

log = logging.getLogger(__name__)

Item = TypeVar("Item")

_SIDES = {SOURCE_MODEL: "source", TARGET_MODEL: "target"}


def make_sentencepiece_models(
    settings: PreprocessConfig,
    pipeline: TextPipeline,
    corpora: Sequence[tuple[Path, Path]],
    *,
    own: Mapping[str, bytes],
) -> dict[str, bytes]:
    """Collect the models of the sides that need one; train those not supplied.

    Args:
        settings: Kind and size of the models, size and seed of the sample.
        pipeline: Normalises the sample like all text of the project.
        corpora: Source and target files of the training text, in order.
        own: Supplied models, by the settings `source_sentencepiece` and
            `target_sentencepiece`.

    Returns:
        The models by file name; both sides have the same one when it is joint.

    Raises:
        CorpusError: The files have no text, or it is not UTF-8.
        ConfigError: `sentencepiece_vocab_size` is too small for the characters.
    """
    joint = settings.sentencepiece_joint
    models: dict[str, bytes] = {}
    to_train: list[str] = []
    for file, tokenizer in zip(_SIDES, settings.tokenizers, strict=True):
        if tokenizer != "sentencepiece":
            continue
        setting = f"{'source' if joint else _SIDES[file]}_sentencepiece"
        if setting not in own:
            to_train.append(file)
            continue
        models[file] = own[setting]
        log.info(
            "SentencePiece: %s side: %s of %s",
            _SIDES[file],
            plural(len(SentencePieceTokenizer(own[setting]).pieces), "piece"),
            getattr(settings, setting),
        )
    return models | _train(settings, pipeline, corpora, to_train)


def _train(
    settings: PreprocessConfig,
    pipeline: TextPipeline,
    corpora: Sequence[tuple[Path, Path]],
    to_train: list[str],
) -> dict[str, bytes]:
    """Train the models of the given file names on a sample of the training text."""
    if not to_train:
        return {}
    sample = reservoir_sample(
        chain.from_iterable(map(_pairs_with_text, corpora)),
        size=settings.sentencepiece_sample_size,
        seed=settings.seed,
    )
    texts = {
        file: [pipeline.normalise(pair[side])[0] for pair in sample]
        for side, file in enumerate(_SIDES)
        if file in to_train
    }
    if settings.sentencepiece_joint:
        texts = {SOURCE_MODEL: texts[SOURCE_MODEL] + texts[TARGET_MODEL]}
    models: dict[str, bytes] = {}
    for file, lines in texts.items():
        models[file] = train_sentencepiece(
            lines,
            kind=settings.sentencepiece_model,
            vocab_size=settings.sentencepiece_vocab_size,
        )
        side = "both sides" if settings.sentencepiece_joint else f"{_SIDES[file]} side"
        _log_size(side, models[file], len(lines), settings.sentencepiece_vocab_size)
    joint = settings.sentencepiece_joint
    return {file: models[SOURCE_MODEL if joint else file] for file in to_train}


def _log_size(side: str, model: bytes, num_lines: int, requested: int) -> None:
    """Log the number of pieces; warn if it is smaller than requested."""
    num_pieces = len(SentencePieceTokenizer(model).pieces)
    size = f"SentencePiece: {side}: {plural(num_pieces, 'piece')}"
    lines = plural(num_lines, "line")
    if num_pieces >= requested:
        log.info("%s from %s", size, lines)
        return
    log.warning(
        "%s instead of the %s of preprocess.sentencepiece_vocab_size: the text (%s) "
        "yields no more",
        size,
        f"{requested:,}",
        lines,
    )


def reservoir_sample(items: Iterable[Item], *, size: int, seed: int) -> list[Item]:
    """Sample items of a stream uniformly, without replacement, in one pass.

    Args:
        items: The stream; one of at most `size` items is returned whole.
        size: Size of the sample.
        seed: Seed of the random numbers.
    """
    stream = iter(items)
    sample = list(islice(stream, size))
    generator = random.Random(seed)
    for index, item in enumerate(stream, start=size):
        slot = generator.randrange(index + 1)
        if slot < size:
            sample[slot] = item
    return sample


def _pairs_with_text(files: tuple[Path, Path]) -> Iterator[tuple[str, str]]:
    for src, tgt in zip(*map(decoded_lines, files), strict=True):
        if not is_blank(src) and not is_blank(tgt):
            yield src, tgt

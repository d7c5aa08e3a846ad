"""SentencePiece models: trained on the training text, or the user's own."""

import logging
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TypeVar

from pipelines.artifacts.corpus import decode_line, read_lines
from pipelines.artifacts.layout import SOURCE_MODEL, TARGET_MODEL
from pipelines.config import PreprocessConfig
from pipelines.text.normalise import is_blank
from pipelines.text.pipeline import TextPipeline
from pipelines.text.tokenizers import SentencePieceTokenizer, train_sentencepiece
from pipelines.wording import plural

log = logging.getLogger(__name__)

Item = TypeVar("Item")

_SIDES = {SOURCE_MODEL: "source", TARGET_MODEL: "target"}


def sentencepiece_models(
    settings: PreprocessConfig,
    pipeline: TextPipeline,
    corpora: Sequence[tuple[Path, Path]],
    *,
    own: Mapping[str, bytes],
) -> dict[str, bytes]:
    """Collect the models of the sides that need one; train those that are not given.

    Args:
        settings: Kind and size of the models, size and seed of the sample.
        pipeline: Normalises the sample as it will normalise all text.
        corpora: The user's source and target files, in order.
        own: Models of `source_sentencepiece` and `target_sentencepiece`.

    Returns:
        The models by file name; the same one twice where the sides share it.

    Raises:
        CorpusError: There is no text in the files, or it is not UTF-8.
        ConfigError: The models are to be smaller than the alphabet.
    """
    joint = settings.sentencepiece_joint
    models: dict[str, bytes] = {}
    to_train: list[str] = []
    for file, name in zip(_SIDES, settings.tokenizers, strict=True):
        if name != "sentencepiece":
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
    """Train the models of some sides on a sample of the training text."""
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
        _report(side, models[file], len(lines), settings.sentencepiece_vocab_size)
    joint = settings.sentencepiece_joint
    return {file: models[SOURCE_MODEL if joint else file] for file in to_train}


def _report(side: str, model: bytes, num_lines: int, wanted: int) -> None:
    """Log how many pieces there are; fewer than were asked for are a warning."""
    num_pieces = len(SentencePieceTokenizer(model).pieces)
    found = f"SentencePiece: {side}: {plural(num_pieces, 'piece')}"
    lines = plural(num_lines, "line")
    if num_pieces >= wanted:
        log.info("%s from %s", found, lines)
        return
    log.warning(
        "%s instead of the %s of preprocess.sentencepiece_vocab_size: the text (%s) "
        "yields no more",
        found,
        f"{wanted:,}",
        lines,
    )


def reservoir_sample(items: Iterable[Item], *, size: int, seed: int) -> list[Item]:
    """Choose `size` items of a stream, each with the same probability, in one pass.

    Args:
        items: Of any number; all are taken when there are no more than `size`.
        size: Items to choose.
        seed: The same seed and items give the same sample.
    """
    stream = iter(items)
    sample = list(islice(stream, size))
    generator = random.Random(seed)
    for index, item in enumerate(stream, start=size):
        place = generator.randrange(index + 1)
        if place < size:
            sample[place] = item
    return sample


def _pairs_with_text(files: tuple[Path, Path]) -> Iterator[tuple[str, str]]:
    pairs = zip(*map(read_lines, files), strict=True)
    for number, raw in enumerate(pairs, start=1):
        src, tgt = (
            decode_line(line, file, number)
            for line, file in zip(raw, files, strict=True)
        )
        if not is_blank(src) and not is_blank(tgt):
            yield src, tgt

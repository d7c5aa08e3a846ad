"""What is learnt from the training text before it can be tokenized: SentencePiece."""

import random
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TypeVar

from pipelines.artifacts.corpus import decode_line, read_lines
from pipelines.config import PreprocessConfig
from pipelines.text.normalise import is_blank
from pipelines.text.pipeline import SOURCE_MODEL, TARGET_MODEL, TextPipeline
from pipelines.text.tokenizers import train_pieces

Item = TypeVar("Item")


def learn_models(
    settings: PreprocessConfig,
    pipeline: TextPipeline,
    corpora: Sequence[tuple[Path, Path]],
) -> dict[str, bytes]:
    """Train SentencePiece on a sample of the training text.

    Args:
        settings: Kind and size of the models, size and seed of the sample.
        pipeline: Normalises the sample as it will normalise all text.
        corpora: The user's source and target files, in order.

    Returns:
        The models by file name; the same one twice where the sides share it.

    Raises:
        CorpusError: There is no text in the files, or it is not UTF-8.
        ConfigError: The models are to be smaller than the alphabet.
    """
    sample = reservoir_sample(
        chain.from_iterable(map(_pairs_with_text, corpora)),
        size=settings.sentencepiece_sample_size,
        seed=settings.seed,
    )
    sides = [[pipeline.normalise(pair[side])[0] for pair in sample] for side in (0, 1)]
    joint = settings.sentencepiece_joint
    texts = [sides[0] + sides[1]] if joint else sides
    models = [
        train_pieces(
            lines,
            kind=settings.sentencepiece_model,
            vocab_size=settings.sentencepiece_vocab_size,
        )
        for lines in texts
    ]
    return {SOURCE_MODEL: models[0], TARGET_MODEL: models[-1]}


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

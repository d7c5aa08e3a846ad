"""Warn about SentencePiece pieces that never occur in the tokenized training text.

BPE merges pairs until it has the requested number of pieces, even pairs that occur
once. Many pieces are then only steps of longer merges and missing from the tokenized
training text. New words consist of such pieces, so they become `<unk>`.
"""

import logging
from collections import Counter
from collections.abc import Sequence

from pipelines.artifacts.vocab import EOS_TOKEN
from pipelines.config import PreprocessConfig

log = logging.getLogger(__name__)

_MAX_UNSEEN_SHARE = 0.01
"""Share of the validation text's pieces that may be unseen without a warning."""
_MIN_COUNT = 2
"""Occurrences of a piece in the training text that make it useful."""
_SIZE_STEP = 100
"""Suggested sizes are multiples of this number."""


def warn_about_unseen_pieces(
    settings: PreprocessConfig,
    train: Sequence[Counter[str]],
    valid: Sequence[Counter[str]],
) -> None:
    """Warn about each side whose validation text has pieces unseen in training.

    Args:
        settings: Tokenizers, and sizes of the SentencePiece models.
        train: Token counts of the training text, of source and target, with `</s>`.
        valid: Token counts of the validation text.
    """
    sides = zip(("source", "target"), settings.tokenizers, train, valid, strict=True)
    for side, tokenizer, train_counts, valid_counts in sides:
        if tokenizer != "sentencepiece":
            continue
        num_tokens = valid_counts.total() - valid_counts[EOS_TOKEN]
        num_unseen = sum(
            n for piece, n in valid_counts.items() if piece not in train_counts
        )
        if num_unseen > _MAX_UNSEEN_SHARE * num_tokens:
            log.warning(
                "valid: %.1f %% of the %s's pieces occur nowhere in the training text, "
                "so new words become <unk>: %s",
                100 * num_unseen / num_tokens,
                side,
                _remedy(settings, side, train_counts),
            )


def _remedy(settings: PreprocessConfig, side: str, counts: Counter[str]) -> str:
    setting = f"{'source' if settings.sentencepiece_joint else side}_sentencepiece"
    if getattr(settings, setting):
        return f"preprocess.{setting} has too many pieces for this text"
    remedy = (
        f"preprocess.sentencepiece_vocab_size = {settings.sentencepiece_vocab_size} is "
        "too large for this text"
    )
    num_useful = sum(1 for count in counts.values() if count >= _MIN_COUNT)
    if num_useful < _SIZE_STEP:
        return remedy
    return f"{remedy}; lower it to about {num_useful // _SIZE_STEP * _SIZE_STEP:,}"

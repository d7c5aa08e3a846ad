"""A warning where SentencePiece made more pieces than the training text can teach.

BPE merges as long as it may, also what occurs once. Then many of its pieces occur
nowhere in the training text as it is cut; new words consist of these, and are `<unk>`.
"""

import logging
from collections import Counter
from collections.abc import Sequence

from pipelines.artifacts.vocab import EOS_TOKEN
from pipelines.config import PreprocessConfig

log = logging.getLogger(__name__)

_NOTABLE = 0.01
"""Share of the validation text's pieces."""
_REPEATED = 2
"""Occurrences of a piece that was worth learning."""
_LEAST_ADVICE = 100


def warn_of_unseen_pieces(
    settings: PreprocessConfig,
    train: Sequence[Counter[str]],
    valid: Sequence[Counter[str]],
) -> None:
    """Warn of each side whose validation text has pieces that training never sees.

    Args:
        settings: Tokenizers, and sizes of the SentencePiece models.
        train: Counts of the training text's tokens, source and target, with `</s>`.
        valid: The same of the validation text.
    """
    sides = zip(("source", "target"), settings.tokenizers, train, valid, strict=True)
    for side, tokenizer, seen, counts in sides:
        if tokenizer != "sentencepiece":
            continue
        num_tokens = counts.total() - counts[EOS_TOKEN]
        num_unseen = sum(n for piece, n in counts.items() if piece not in seen)
        if num_unseen > _NOTABLE * num_tokens:
            log.warning(
                "valid: %.1f %% of the %s's pieces occur nowhere in the training text, "
                "so new words become <unk>: %s",
                100 * num_unseen / num_tokens,
                side,
                _remedy(settings, side, seen),
            )


def _remedy(settings: PreprocessConfig, side: str, seen: Counter[str]) -> str:
    setting = f"{'source' if settings.sentencepiece_joint else side}_sentencepiece"
    if getattr(settings, setting):
        return f"preprocess.{setting} has too many pieces for this text"
    remedy = (
        f"preprocess.sentencepiece_vocab_size = {settings.sentencepiece_vocab_size} is "
        "too large for this text"
    )
    num_repeated = sum(1 for count in seen.values() if count >= _REPEATED)
    if num_repeated < _LEAST_ADVICE:
        return remedy
    rounded = num_repeated // _LEAST_ADVICE * _LEAST_ADVICE
    return f"{remedy}; lower it to about {rounded:,}"

"""Build the two vocabularies: from token counts, shared, or from the user's files."""

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.artifacts.vocab import (
    EOS_TOKEN,
    UNK_TOKEN,
    Vocabulary,
    build_vocab,
    count_listed,
)
from pipelines.config import PreprocessConfig
from pipelines.errors import CorpusError
from pipelines.wording import plural

log = logging.getLogger(__name__)

_MAX_UNKNOWN_SHARE = 0.2
"""Share of unknown training tokens above which a user's vocabulary is suspect."""


@dataclass(frozen=True, slots=True)
class Vocabularies:
    """The vocabularies of a project, and how much of the training text they lack."""

    source: Vocabulary
    target: Vocabulary
    source_unknown_share: float
    """Share of the source's training tokens that are `<unk>`, `</s>` not counted."""
    target_unknown_share: float


def make_vocabularies(
    settings: PreprocessConfig,
    src_counts: Counter[str],
    tgt_counts: Counter[str],
    *,
    own: Mapping[str, tuple[str, ...]],
) -> Vocabularies:
    """Build both vocabularies; with `share_vocab` they are the same object.

    Args:
        settings: Sizes and smallest counts.
        src_counts: Counts of the training text's source tokens, EOS included.
        tgt_counts: Counts of the training text's target tokens, EOS included.
        own: Tokens of the user's files, by the settings `source_vocab` and
            `target_vocab`.

    Raises:
        CorpusError: No token is left except the special symbols, or the training text
            has no token of the user's vocabulary.
    """
    source, target = _build(settings, src_counts, tgt_counts, own)
    vocabularies = Vocabularies(
        source,
        target,
        _unknown_share(source, src_counts),
        _unknown_share(target, tgt_counts),
    )
    _log_sizes(vocabularies, shared=settings.share_vocab)
    _require_coverage(settings, vocabularies, own)
    return vocabularies


def _build(
    settings: PreprocessConfig,
    src_counts: Counter[str],
    tgt_counts: Counter[str],
    own: Mapping[str, tuple[str, ...]],
) -> tuple[Vocabulary, Vocabulary]:
    sizes = settings.source_vocab_size, settings.target_vocab_size
    if settings.share_vocab:
        counts = src_counts + tgt_counts
        sides = [("source_vocab", counts, sizes[0], settings.min_counts[0])]
    else:
        sides = [
            ("source_vocab", src_counts, sizes[0], settings.min_counts[0]),
            ("target_vocab", tgt_counts, sizes[1], settings.min_counts[1]),
        ]
    vocabularies = [
        count_listed(own[name], counts)
        if name in own
        else build_vocab(counts, size=size, min_count=min_count)
        for name, counts, size, min_count in sides
    ]
    return vocabularies[0], vocabularies[-1]


def _unknown_share(vocabulary: Vocabulary, counts: Counter[str]) -> float:
    known = {*vocabulary.tokens} - {UNK_TOKEN}
    num_unknown = sum(n for token, n in counts.items() if token not in known)
    return num_unknown / (counts.total() - counts[EOS_TOKEN])


def _log_sizes(vocabularies: Vocabularies, *, shared: bool) -> None:
    if shared:
        log.info(
            "shared vocabulary: %s, %.2f %% of the source's and %.2f %% of the "
            "target's training tokens unknown",
            plural(len(vocabularies.source), "entry", "entries"),
            100 * vocabularies.source_unknown_share,
            100 * vocabularies.target_unknown_share,
        )
        return
    for side, vocabulary, share in (
        ("source", vocabularies.source, vocabularies.source_unknown_share),
        ("target", vocabularies.target, vocabularies.target_unknown_share),
    ):
        log.info(
            "%s vocabulary: %s, %.2f %% of the training tokens unknown",
            side,
            plural(len(vocabulary), "entry", "entries"),
            100 * share,
        )


def _require_coverage(
    settings: PreprocessConfig,
    vocabularies: Vocabularies,
    own: Mapping[str, tuple[str, ...]],
) -> None:
    """Refuse a user's vocabulary with no token of the text; warn if it has few."""
    for side, share in (
        ("source", vocabularies.source_unknown_share),
        ("target", vocabularies.target_unknown_share),
    ):
        name = "source_vocab" if settings.share_vocab else f"{side}_vocab"
        if name in own and _MAX_UNKNOWN_SHARE < share < 1.0:
            log.warning(
                "%.1f %% of the %s's training tokens are not in %s "
                "(preprocess.%s): check its language, casing and tokenization",
                100 * share,
                side,
                getattr(settings, name),
                name,
            )
        if name in own and share == 1.0:
            raise CorpusError(
                f"{getattr(settings, name)} has no token of the {side} side's "
                "training text",
                hint=f"preprocess.{name} needs tokens as the side's tokenizer writes "
                "them",
            )

"""The two vocabularies: counted in the training text, shared, or the user's own."""

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

_SUSPECT = 0.2
"""Share of the training tokens that a fitting vocabulary does not lack."""


@dataclass(frozen=True, slots=True)
class Vocabularies:
    """The vocabularies of a project."""

    source: Vocabulary
    target: Vocabulary
    source_unknown: float
    """Share of the source's training tokens that are `<unk>`, `</s>` not counted."""
    target_unknown: float


def make_vocabularies(
    settings: PreprocessConfig,
    src_counts: Counter[str],
    tgt_counts: Counter[str],
    *,
    own: Mapping[str, tuple[str, ...]],
) -> Vocabularies:
    """Make both vocabularies; it is one and the same with `share_vocab`.

    Args:
        settings: Sizes and smallest counts.
        src_counts: Of every source token of the training text, EOS among them.
        tgt_counts: The same for the target.
        own: Tokens of `source_vocab` and `target_vocab` where the user brings them.

    Raises:
        CorpusError: No token is left beside the special symbols, or the training text
            has none of the user's own.
    """
    source, target = _chosen(settings, src_counts, tgt_counts, own)
    found = Vocabularies(
        source,
        target,
        _unknown_share(source, src_counts),
        _unknown_share(target, tgt_counts),
    )
    _report(found, shared=settings.share_vocab)
    _require_coverage(settings, found, own)
    return found


def _chosen(
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
    found = [
        count_listed(own[name], counts)
        if name in own
        else build_vocab(counts, size=size, min_count=min_count)[0]
        for name, counts, size, min_count in sides
    ]
    return found[0], found[-1]


def _unknown_share(vocabulary: Vocabulary, counts: Counter[str]) -> float:
    known = {*vocabulary.tokens} - {UNK_TOKEN}
    num_unknown = sum(n for token, n in counts.items() if token not in known)
    return num_unknown / (counts.total() - counts[EOS_TOKEN])


def _report(found: Vocabularies, *, shared: bool) -> None:
    if shared:
        log.info(
            "shared vocabulary: %s, %.2f %% of the source's and %.2f %% of the "
            "target's training tokens unknown",
            plural(len(found.source), "entry", "entries"),
            100 * found.source_unknown,
            100 * found.target_unknown,
        )
        return
    for side, vocabulary, share in (
        ("source", found.source, found.source_unknown),
        ("target", found.target, found.target_unknown),
    ):
        log.info(
            "%s vocabulary: %s, %.2f %% of the training tokens unknown",
            side,
            plural(len(vocabulary), "entry", "entries"),
            100 * share,
        )


def _require_coverage(
    settings: PreprocessConfig,
    found: Vocabularies,
    own: Mapping[str, tuple[str, ...]],
) -> None:
    """Refuse an own vocabulary without a token of the text; warn of one with few."""
    for side, share in (
        ("source", found.source_unknown),
        ("target", found.target_unknown),
    ):
        name = "source_vocab" if settings.share_vocab else f"{side}_vocab"
        if name in own and _SUSPECT < share < 1.0:
            log.warning(
                "%.1f %% of the %s's training tokens are not in %s "
                "(preprocess.%s): check that it is of this language, casing and "
                "tokenization",
                100 * share,
                side,
                getattr(settings, name),
                name,
            )
        if name in own and share == 1.0:
            raise CorpusError(
                f"{getattr(settings, name)} has no token of the {side} side's "
                "training text",
                hint=f"preprocess.{name} needs the tokens that the side's tokenizer "
                "makes",
            )

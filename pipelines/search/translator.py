"""From lines of text to translations: the text pipeline, the models and the search.

What validation measures, what `s2s translate` prints and what a copied checkpoint gives
all come through here.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from pipelines.artifacts.checkpoint import read_model
from pipelines.artifacts.layout import TEXT
from pipelines.config import TranslateConfig
from pipelines.data.batch import lay_out
from pipelines.errors import UsageError
from pipelines.model.device import choose_device, use_threads
from pipelines.model.seq2seq import Seq2Seq, build_model
from pipelines.search.beam import Hypothesis, SearchSettings, beam_search
from pipelines.search.ensemble import Ensemble
from pipelines.text.pipeline import TextPipeline

log = logging.getLogger(__name__)

_WINDOW_BATCHES = 16


@dataclass(frozen=True, slots=True)
class Candidate:
    """One translation of one line."""

    text: str
    """Detokenized."""
    tokens: tuple[str, ...]
    """Without EOS."""
    log_prob: float
    """Natural logarithm, EOS included."""
    score: float
    """What ranked it."""


@dataclass(frozen=True, slots=True)
class Translation:
    """What came out for one line."""

    candidates: tuple[Candidate, ...]
    """Best first; empty for a blank line."""
    truncated: bool = False
    """The source was longer than `max_source_length` and was cut."""

    @property
    def text(self) -> str:
        """The best translation; empty for a blank line."""
        return self.candidates[0].text if self.candidates else ""

    @property
    def tokens(self) -> str:
        """The best translation's tokens, separated by blanks."""
        return " ".join(self.candidates[0].tokens) if self.candidates else ""


class Translator:
    """Translates lines.

    Args:
        models: One, or an ensemble; on `device`, in eval mode.
        pipeline: The text rules all of them were trained with.
        config: How to search.
        device: Where the models are.
    """

    def __init__(
        self,
        models: Sequence[Seq2Seq],
        pipeline: TextPipeline,
        config: TranslateConfig,
        *,
        device: torch.device,
    ) -> None:
        self.pipeline = pipeline
        self.config = config
        self.models = list(models)
        self.device = device
        self._ensemble = Ensemble(self.models)
        self._settings = SearchSettings.from_config(config)

    @classmethod
    def load(cls, paths: Sequence[Path], config: TranslateConfig) -> "Translator":
        """Load checkpoints.

        Raises:
            ArtifactError: One is missing or damaged.
            UsageError: Their text rules differ, or the device is not there.
        """
        use_threads(config.threads)
        device = choose_device(config.device)
        models: list[Seq2Seq] = []
        pipelines: list[TextPipeline] = []
        for path in paths:
            part = read_model(path)
            models.append(build_model(part.info, part.tensors).to(device))
            pipelines.append(TextPipeline.load(path / TEXT))
        rules = {(path / TEXT / "pipeline.json").read_bytes() for path in paths}
        if len(rules) > 1:
            raise UsageError(
                "the models were trained with different text rules or vocabularies",
                hint="members of an ensemble share one preprocess folder",
            )
        return cls(models, pipelines[0], config, device=device)

    @property
    def window(self) -> int:
        """Lines that are worth handing over together."""
        return self.config.batch_size * _WINDOW_BATCHES

    def translate(self, lines: Sequence[str]) -> list[Translation]:
        """Translate lines, in order; a blank line gives an empty translation."""
        found: list[Translation | None] = [None] * len(lines)
        for numbers, translations in self.translate_batches(lines):
            for number, translation in zip(numbers, translations, strict=True):
                found[number] = translation
        return [translation or Translation(()) for translation in found]

    def translate_batches(
        self, lines: Sequence[str]
    ) -> Iterator[tuple[list[int], list[Translation]]]:
        """Translate lines batch by batch, similar lengths together.

        Yields:
            Positions in `lines`, and their translations. Blank lines do not appear.
        """
        limit = self.config.max_source_length
        sources = [self.pipeline.source_ids(line) for line in lines]
        cut = [len(ids) - 1 > limit for ids in sources]
        # The pipeline may have reversed the line: keep the sentence's beginning.
        reverse = self.pipeline.settings.reverse_source
        for number, too_long in enumerate(cut):
            if too_long:
                ids = sources[number]
                sources[number] = (
                    ids[-limit - 1 :]
                    if reverse
                    else [
                        *ids[:limit],
                        ids[-1],
                    ]
                )
        order = sorted(
            (n for n, ids in enumerate(sources) if len(ids) > 1),
            key=lambda n: (len(sources[n]), n),
        )
        size = self.config.batch_size
        for start in range(0, len(order), size):
            numbers = order[start : start + size]
            hypotheses = self._search([sources[n] for n in numbers])
            yield (
                numbers,
                [
                    self._translation(found, truncated=cut[n])
                    for n, found in zip(numbers, hypotheses, strict=True)
                ],
            )

    def _search(self, sources: Sequence[list[int]]) -> list[list[Hypothesis]]:
        """Search a batch; on too little memory halve it and try again."""
        try:
            return self._search_once(sources)
        except torch.OutOfMemoryError:
            if len(sources) == 1:
                raise
        log.warning("out of memory with %d sentences; halving", len(sources))
        torch.cuda.empty_cache()
        middle = len(sources) // 2
        return [*self._search(sources[:middle]), *self._search(sources[middle:])]

    def _search_once(self, sources: Sequence[list[int]]) -> list[list[Hypothesis]]:
        lengths = [len(ids) for ids in sources]
        src = lay_out(sources).map(lambda tensor: tensor.to(self.device))
        state = self._ensemble.encode(src)
        ratio, extra = self.config.max_length_ratio, self.config.max_length_extra
        return beam_search(
            self._ensemble,
            state,
            num_sentences=len(sources),
            max_lengths=[int(ratio * n) + extra for n in lengths],
            settings=self._settings,
            device=self.device,
        )

    def _translation(
        self, hypotheses: Sequence[Hypothesis], *, truncated: bool
    ) -> Translation:
        candidates: list[Candidate] = []
        for hypothesis in hypotheses:
            tokens = self.pipeline.target_vocab.tokens_of(hypothesis.ids)
            candidates.append(
                Candidate(
                    text=self.pipeline.target_text(tokens),
                    tokens=tuple(tokens),
                    log_prob=hypothesis.log_prob,
                    score=hypothesis.score,
                )
            )
        return Translation(tuple(candidates), truncated)

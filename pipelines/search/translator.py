"""From lines of text to translations: the text pipeline, the models and the search.

What validation measures, what `s2s translate` prints and what a copied checkpoint gives
all come through here.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from pipelines.artifacts.vocab import UNK, UNK_TOKEN
from pipelines.config import TranslateConfig
from pipelines.data.batch import pack_sequences
from pipelines.search.batch_execution import batch_size, side_by_side
from pipelines.search.beam import Hypothesis, beam_search
from pipelines.search.loading import LoadedEnsemble
from pipelines.search.sampling import sample
from pipelines.search.settings import SearchSettings

log = logging.getLogger(__name__)

_PLACES = {"cpu": 768, "cuda": 8192}
"""Places of the beams of all sentences together; more bring no speed on a CPU."""
_WINDOW_LINES, _WINDOW_BATCHES = 2048, 8
_LEAST_SENTENCES = 16
"""A batch has so many, however wide their beams."""


@dataclass(frozen=True, slots=True)
class Output:
    """One translation of one line."""

    text: str
    """Detokenized."""
    tokens: tuple[str, ...]
    """Without EOS."""
    log_prob: float
    """Natural logarithm, EOS included."""
    score: float
    """What ranked it."""
    token_log_probs: tuple[float, ...]
    """Of each token, and of EOS where the search took it."""


@dataclass(frozen=True, slots=True)
class Translation:
    """What came out for one line."""

    candidates: tuple[Output, ...]
    """Best first; empty for a blank line."""
    truncated: bool = False
    """The source was longer than `max_source_length` and was cut."""
    num_tokens: int = 0
    """Source tokens, without EOS."""
    num_unknown: int = 0
    """Number of these tokens that the vocabulary lacks."""

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
        loaded: One model or an ensemble.
        config: How to search, or to draw.

    Attributes:
        settings: How to search, with the beam that the search runs with.

    Source: Sutskever et al. 2014, section 3.2, for the search; Fan et al. 2018,
    "Hierarchical Neural Story Generation", and Holtzman et al. 2020, "The Curious Case
    of Neural Text Degeneration", for top-k sampling.
    """

    def __init__(self, loaded: LoadedEnsemble, config: TranslateConfig) -> None:
        self.loaded = loaded
        self.config = config
        self.settings = SearchSettings.from_config(config)
        self._ratio = config.max_length_ratio or loaded.length_ratio
        places = _PLACES[loaded.device.type]
        self._batch_size = config.batch_size or max(
            _LEAST_SENTENCES, places // self.settings.most_rows
        )
        if self.settings.beam > config.beam and not config.sample:
            log.info(
                "beam %d widened to %d for the %d-best list",
                config.beam,
                self.settings.beam,
                config.nbest,
            )

    @property
    def window(self) -> int:
        """Lines that are worth handing over together."""
        num_batches = max(_WINDOW_BATCHES, 2 * torch.get_num_threads())
        return min(_WINDOW_LINES, num_batches * self._batch_size)

    def translate(self, lines: Sequence[str]) -> list[Translation]:
        """Translate lines, in order; a blank line gives an empty translation."""
        found = [Translation(())] * len(lines)
        for numbers, translations in self.translate_batches(lines):
            for number, translation in zip(numbers, translations, strict=True):
                found[number] = translation
        return found

    def translate_batches(
        self, lines: Sequence[str]
    ) -> Iterator[tuple[list[int], list[Translation]]]:
        """Translate lines batch by batch, similar lengths together.

        Yields:
            Positions in `lines`, and their translations. Blank lines do not appear.
        """
        pipeline, limit = self.loaded.pipeline, self.config.max_source_length
        read = [pipeline.source_ids_within(line, limit) for line in lines]
        sources, cut = [ids for ids, _ in read], [too_long for _, too_long in read]
        batches = list(self._batches([len(ids) for ids in sources]))
        found_of = side_by_side(
            self._search,
            [[sources[n] for n in numbers] for numbers in batches],
            device=self.loaded.device,
        )
        for numbers, hypotheses in zip(batches, found_of, strict=True):
            yield (
                numbers,
                [
                    self._translation(lines[n], sources[n], found, truncated=cut[n])
                    for n, found in zip(numbers, hypotheses, strict=True)
                ],
            )

    def _batches(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        """Numbers of sentences that are not blank, the longest batch first."""
        order = [n for n, length in enumerate(lengths) if length > 1]
        order.sort(key=lambda n: (-lengths[n], n))
        most = batch_size(self._batch_size, len(order), device=self.loaded.device)
        while order:
            by_tokens = self.config.max_batch_tokens // lengths[order[0]]
            size = max(1, min(most, by_tokens))
            yield order[:size]
            del order[:size]

    def _search(self, sources: Sequence[list[int]]) -> list[list[Hypothesis]]:
        ensemble, device = self.loaded.ensemble, self.loaded.device
        state = ensemble.encode(pack_sequences(sources).to(device))
        max_lengths = [self._max_length(len(ids)) for ids in sources]
        if self.settings.sample:
            return sample(
                ensemble,
                state,
                sources=sources,
                max_lengths=max_lengths,
                settings=self.settings,
                device=device,
            )
        return beam_search(
            ensemble,
            state,
            num_sentences=len(sources),
            max_lengths=max_lengths,
            settings=self.settings,
            device=device,
        )

    def _max_length(self, num_tokens: int) -> int:
        """Most tokens of an output, for a source of so many, EOS included."""
        config = self.config
        by_ratio = int(self._ratio * num_tokens) + config.max_length_extra
        return max(config.max_length or by_ratio, config.min_length)

    def _translation(
        self,
        line: str,
        source: Sequence[int],
        hypotheses: Sequence[Hypothesis],
        *,
        truncated: bool,
    ) -> Translation:
        pipeline = self.loaded.pipeline
        candidates: list[Output] = []
        for hypothesis in hypotheses:
            tokens = pipeline.target_vocab.tokens_of(hypothesis.ids)
            if self.config.unk == "copy" and UNK_TOKEN in tokens:
                tokens = _with_copies(tokens, pipeline.unknown_source_words(line))
            candidates.append(
                Output(
                    text=pipeline.target_text(tokens),
                    tokens=tuple(tokens),
                    log_prob=hypothesis.log_prob,
                    score=hypothesis.score,
                    token_log_probs=hypothesis.token_log_probs,
                )
            )
        return Translation(
            tuple(candidates), truncated, len(source) - 1, source.count(UNK)
        )


def _with_copies(tokens: Sequence[str], words: Sequence[str]) -> list[str]:
    """Put a word in the place of each `<unk>`, in order, as long as there are any."""
    left = iter(words)
    return [next(left, UNK_TOKEN) if t == UNK_TOKEN else t for t in tokens]

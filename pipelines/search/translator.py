"""Translation of lines of text: the text pipeline, the models and the search.

Validation, `s2s translate` and a copied checkpoint all translate through `Translator`.
"""

import logging
from collections.abc import Iterator, Sequence

import torch

from pipelines.artifacts.translations import Output, Translation
from pipelines.artifacts.vocab import UNK, UNK_TOKEN
from pipelines.config import TranslateConfig
from pipelines.data.batch import pack_sequences
from pipelines.search.batch_execution import limit_batch_size, map_batches
from pipelines.search.beam import beam_search
from pipelines.search.hypothesis import Hypothesis
from pipelines.search.loading import LoadedEnsemble
from pipelines.search.sampling import sample
from pipelines.search.settings import SearchSettings

log = logging.getLogger(__name__)

_MAX_ROWS = {"cpu": 768, "cuda": 8192}
"""Rows of all beams of a batch; more bring no speed on a CPU."""
_MIN_BATCH_SIZE = 16
"""Sentences of a batch, however wide their beams."""
_MAX_CHUNK_LINES, _CHUNK_BATCHES = 2048, 8


class Translator:
    """Translates lines.

    Args:
        loaded: One model or an ensemble.
        config: How to search or to sample.

    Attributes:
        settings: The search settings; the beam is at least as wide as the n-best list.

    Source: Sutskever et al. 2014, section 3.2, for the search; Fan et al. 2018,
    "Hierarchical Neural Story Generation", and Holtzman et al. 2020, "The Curious Case
    of Neural Text Degeneration", for top-k sampling.
    """

    def __init__(self, loaded: LoadedEnsemble, config: TranslateConfig) -> None:
        self.loaded = loaded
        self.config = config
        self.settings = SearchSettings.from_config(config)
        self._ratio = config.max_length_ratio or loaded.length_ratio
        max_rows = _MAX_ROWS[loaded.device.type]
        self._batch_size = config.batch_size or max(
            _MIN_BATCH_SIZE, max_rows // self.settings.most_rows
        )
        if self.settings.beam > config.beam and not config.sample:
            log.info(
                "beam %d widened to %d for the %d-best list",
                config.beam,
                self.settings.beam,
                config.nbest,
            )

    @property
    def chunk_size(self) -> int:
        """Number of lines to translate together for full speed."""
        num_batches = max(_CHUNK_BATCHES, 2 * torch.get_num_threads())
        return min(_MAX_CHUNK_LINES, num_batches * self._batch_size)

    @property
    def identity(self) -> str:
        """Hash of the models and of their text rules."""
        return self.loaded.identity

    def translate(self, lines: Sequence[str]) -> list[Translation]:
        """Translate lines, in order; a blank line gives an empty translation."""
        translations = [Translation(())] * len(lines)
        for numbers, batch in self.translate_batches(lines):
            for number, translation in zip(numbers, batch, strict=True):
                translations[number] = translation
        return translations

    def translate_batches(
        self, lines: Sequence[str]
    ) -> Iterator[tuple[list[int], list[Translation]]]:
        """Translate lines batch by batch, similar lengths together.

        Yields:
            Indices of lines, and their translations. Blank lines are left out.
        """
        pipeline, limit = self.loaded.pipeline, self.config.max_source_length
        encoded = [pipeline.source_ids_within(line, limit) for line in lines]
        sources = [ids for ids, _ in encoded]
        batches = list(self._batches([len(ids) for ids in sources]))
        results = map_batches(
            self._search,
            [[sources[n] for n in numbers] for numbers in batches],
            device=self.loaded.device,
        )
        for numbers, hypotheses in zip(batches, results, strict=True):
            yield (
                numbers,
                [
                    self._translation(lines[n], *encoded[n], nbest)
                    for n, nbest in zip(numbers, hypotheses, strict=True)
                ],
            )

    def _batches(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        """Yield indices of sentences that are not blank, the longest first."""
        order = [n for n, length in enumerate(lengths) if length > 1]
        order.sort(key=lambda n: (-lengths[n], n))
        most = limit_batch_size(self._batch_size, len(order), device=self.loaded.device)
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
        """Most tokens of an output for a source of `num_tokens`, EOS included."""
        config = self.config
        by_ratio = int(self._ratio * num_tokens) + config.max_length_extra
        return max(config.max_length or by_ratio, config.min_length)

    def _translation(
        self,
        line: str,
        source: Sequence[int],
        truncated: bool,
        hypotheses: Sequence[Hypothesis],
    ) -> Translation:
        pipeline = self.loaded.pipeline
        outputs: list[Output] = []
        for hypothesis in hypotheses:
            tokens = pipeline.target_vocab.tokens_of(hypothesis.ids)
            if self.config.unk == "copy" and UNK_TOKEN in tokens:
                tokens = _with_copies(tokens, pipeline.unknown_source_words(line))
            outputs.append(
                Output(
                    text=pipeline.target_text(tokens),
                    tokens=tuple(tokens),
                    log_prob=hypothesis.log_prob,
                    score=hypothesis.score,
                    token_log_probs=hypothesis.token_log_probs,
                )
            )
        return Translation(
            tuple(outputs), truncated, len(source) - 1, source.count(UNK)
        )


def _with_copies(tokens: Sequence[str], words: Sequence[str]) -> list[str]:
    """Replace each `<unk>` by the next word, while there are words."""
    rest = iter(words)
    return [next(rest, UNK_TOKEN) if t == UNK_TOKEN else t for t in tokens]

"""Forced decoding: how likely given translations are.

Translations of one source share its encoding, and each beginning that several have in
common is read once: a 1000-best list of one sentence is a tree with a few thousand
nodes. The products are the search's, so that a translation scores what its search said.

Shapes: B sentences, N rows (different beginnings), K different next words, X
translations.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from pipelines.artifacts.vocab import EOS
from pipelines.data.batch import Ids, pack_sequences, to_device
from pipelines.search.batch_execution import batch_size, side_by_side
from pipelines.search.loading import LoadedEnsemble

State = TypeVar("State")

_ROWS = 768
"""Translations scored together; more bring no speed on a CPU."""


class WordScorer(Protocol[State]):
    """A model, or several, that scores given words."""

    def log_probs(
        self, tokens_N: Tensor, state: State, rows_K: Tensor, words_K: Tensor
    ) -> tuple[Tensor, State]:
        """Read a word and score given next ones: see `Ensemble.log_probs`."""

    def select(self, state: State, rows_N: Tensor) -> State:
        """The state of the given rows (int64): repeated, in a new order, or dropped."""


@dataclass(frozen=True, slots=True)
class ForcedTargets:
    """A source and some translations of it."""

    source: Ids
    """As the encoder reads it, EOS included."""
    targets: Sequence[Sequence[int]]
    """Ids without EOS."""


class ForcedDecoder:
    """Scores given translations.

    Args:
        loaded: One model or an ensemble.
    """

    def __init__(self, loaded: LoadedEnsemble) -> None:
        self.loaded = loaded

    def score(self, sentences: Sequence[ForcedTargets]) -> list[list[list[float]]]:
        """Score translations, those of about one length together.

        Returns:
            For each sentence and each translation of it the natural log-probability of
            each token, EOS included.
        """
        found: list[list[list[float]]] = [[] for _ in sentences]
        num_rows = sum(len(sentence.targets) for sentence in sentences)
        most = batch_size(_ROWS, num_rows, device=self.loaded.device)
        batches = list(_batches(sentences, most_rows=most))
        found_of = side_by_side(
            self._score,
            [[sentences[n] for n in numbers] for numbers in batches],
            device=self.loaded.device,
        )
        for numbers, scores in zip(batches, found_of, strict=True):
            for number, score in zip(numbers, scores, strict=True):
                found[number] = score
        return found

    def _score(self, sentences: Sequence[ForcedTargets]) -> list[list[list[float]]]:
        loaded = self.loaded
        src = pack_sequences([sentence.source for sentence in sentences]).to(
            loaded.device
        )
        return forced_log_probs(
            loaded.ensemble,
            loaded.ensemble.encode(src),
            [sentence.targets for sentence in sentences],
            vocab_size=len(loaded.pipeline.target_vocab),
            device=loaded.device,
        )


def _batches(
    sentences: Sequence[ForcedTargets], *, most_rows: int
) -> Iterator[list[int]]:
    """Numbers of sentences whose translations have about one length."""
    longest = [max(map(len, each.targets), default=0) for each in sentences]
    batch: list[int] = []
    num_rows = 0
    for number in sorted(range(len(sentences)), key=lambda n: -longest[n]):
        more = len(sentences[number].targets)
        if batch and num_rows + more > most_rows:
            yield batch
            batch, num_rows = [], 0
        batch.append(number)
        num_rows += more
    if batch:
        yield batch


def forced_log_probs(
    scorer: WordScorer[State],
    state: State,
    targets: Sequence[Sequence[Sequence[int]]],
    *,
    vocab_size: int,
    device: torch.device,
) -> list[list[list[float]]]:
    """Score translations of several sentences.

    Args:
        scorer: The model.
        state: One row for each sentence.
        targets: For each sentence its translations, ids without EOS.
        vocab_size: Of the target.
        device: Where `scorer` expects tokens and rows.

    Returns:
        For each translation the natural log-probability of each token, EOS included.
    """
    hypotheses = [[*ids, EOS] for each in targets for ids in each]
    found = np.zeros((len(hypotheses), max(map(len, hypotheses), default=0)))
    length_X = np.array([len(ids) for ids in hypotheses])
    row_X = np.repeat(np.arange(len(targets)), [len(each) for each in targets])
    tokens_N = torch.full((len(targets),), EOS, device=device)
    alive_X = np.arange(len(hypotheses))
    for depth in range(found.shape[1]):
        word_X = np.array([hypotheses[number][depth] for number in alive_X])
        keys_K, key_X = np.unique(row_X * vocab_size + word_X, return_inverse=True)
        log_probs_K, state = scorer.log_probs(
            tokens_N,
            state,
            torch.from_numpy(keys_K // vocab_size),
            to_device(torch.from_numpy(keys_K % vocab_size), device),
        )
        found[alive_X, depth] = log_probs_K.cpu().numpy()[key_X]
        goes_on_X = length_X[alive_X] > depth + 1
        alive_X = alive_X[goes_on_X]
        if not len(alive_X):
            break
        kept, row_X = np.unique(key_X[goes_on_X], return_inverse=True)
        rows = to_device(torch.from_numpy(keys_K[kept] // vocab_size), device)
        state = scorer.select(state, rows)
        tokens_N = to_device(torch.from_numpy(keys_K[kept] % vocab_size), device)
    flat = iter(found[n, :length].tolist() for n, length in enumerate(length_X))
    return [[next(flat) for _ in each] for each in targets]

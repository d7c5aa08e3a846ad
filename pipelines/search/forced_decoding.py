"""Forced decoding: log-probabilities of given translations.

Translations of one source share its encoding, and a prefix that several of them share
is decoded once. The matmuls are those of the search, so a translation gets exactly the
log-probabilities that the search gave it.

Shapes: B sentences, X targets, N rows (prefixes), K edges (next tokens), T tokens.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from pipelines.artifacts.vocab import EOS
from pipelines.data.batch import Ids, pack_sequences, to_device
from pipelines.search.batch_execution import limit_batch_size, map_batches
from pipelines.search.loading import LoadedEnsemble

State = TypeVar("State")

_MAX_ROWS = 768
"""Targets scored together; more bring no speed on a CPU."""


class ScoreFunction(Protocol[State]):
    """A model or an ensemble that scores given next tokens."""

    def log_probs(
        self, tokens_N: Tensor, state: State, rows_K: Tensor, ids_K: Tensor
    ) -> tuple[Tensor, State]:
        """Read a token and score given next ones: see `Ensemble.log_probs`."""

    def select(self, state: State, rows_N: Tensor) -> State:
        """Select rows (int64) of the state: repeated, reordered or dropped."""


@dataclass(frozen=True, slots=True)
class ForcedTargets:
    """A source and some translations of it, as ids that end with EOS."""

    source: Ids
    targets: Sequence[Sequence[int]]


class ForcedDecoder:
    """Scores given translations.

    Args:
        loaded: One model or an ensemble.
        max_rows: Most targets scored together, unless one source has more.
    """

    def __init__(self, loaded: LoadedEnsemble, *, max_rows: int = _MAX_ROWS) -> None:
        self.loaded = loaded
        self._max_rows = max_rows

    def score(self, sentences: Sequence[ForcedTargets]) -> list[list[list[float]]]:
        """Score translations, those of similar length together.

        Returns:
            For each sentence and each of its targets the natural log-probability of
            each token.
        """
        device = self.loaded.device
        num_targets = sum(len(sentence.targets) for sentence in sentences)
        max_rows = limit_batch_size(self._max_rows, num_targets, device=device)
        batches = list(_batches(sentences, max_rows=max_rows))
        results = map_batches(
            self._score,
            [[sentences[number] for number in batch] for batch in batches],
            device=device,
        )
        log_probs: list[list[list[float]]] = [[] for _ in sentences]
        for batch, result in zip(batches, results, strict=True):
            for number, sentence_log_probs in zip(batch, result, strict=True):
                log_probs[number] = sentence_log_probs
        return log_probs

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
    sentences: Sequence[ForcedTargets], *, max_rows: int
) -> Iterator[list[int]]:
    """Yield numbers of sentences whose longest targets have similar lengths."""
    longest = [max(map(len, s.targets), default=0) for s in sentences]
    batch: list[int] = []
    num_rows = 0
    for number in sorted(range(len(sentences)), key=lambda n: -longest[n]):
        num_targets = len(sentences[number].targets)
        if batch and num_rows + num_targets > max_rows:
            yield batch
            batch, num_rows = [], 0
        batch.append(number)
        num_rows += num_targets
    if batch:
        yield batch


def forced_log_probs(
    model: ScoreFunction[State],
    state: State,
    targets: Sequence[Sequence[Sequence[int]]],
    *,
    vocab_size: int,
    device: torch.device,
) -> list[list[list[float]]]:
    """Score translations of several sentences.

    Args:
        model: Scores next tokens.
        state: One row for each sentence.
        targets: The translations of each sentence, ids that end with EOS.
        vocab_size: Of the target.
        device: Where `model` expects tokens and rows.

    Returns:
        For each translation the natural log-probability of each token.
    """
    flat = [ids for sentence in targets for ids in sentence]
    length_X = np.array([len(ids) for ids in flat])
    log_probs_XT = np.zeros((len(flat), max(map(len, flat), default=0)))
    # The targets of a sentence form a prefix tree: a node is a prefix, an edge its next
    # token. The nodes at one depth are the rows of a model step, and the edges that
    # leave them are scored together, each once. The edges of targets that have further
    # tokens lead to the nodes at the next depth.
    node_X = np.repeat(np.arange(len(targets)), [len(sentence) for sentence in targets])
    tokens_N = torch.full((len(targets),), EOS, device=device)
    open_X = np.arange(len(flat))  # targets with a token at this depth
    for depth in range(log_probs_XT.shape[1]):
        token_X = np.array([flat[number][depth] for number in open_X])
        edge_K, edge_X = np.unique(node_X * vocab_size + token_X, return_inverse=True)
        row_K, token_K = edge_K // vocab_size, edge_K % vocab_size
        log_probs_K, state = model.log_probs(
            tokens_N,
            state,
            torch.from_numpy(row_K),
            to_device(torch.from_numpy(token_K), device),
        )
        log_probs_XT[open_X, depth] = log_probs_K.cpu().numpy()[edge_X]
        is_longer_X = length_X[open_X] > depth + 1
        open_X = open_X[is_longer_X]
        if not len(open_X):
            break
        edge_N, node_X = np.unique(edge_X[is_longer_X], return_inverse=True)
        rows_N = to_device(torch.from_numpy(row_K[edge_N]), device)
        state = model.select(state, rows_N)
        tokens_N = to_device(torch.from_numpy(token_K[edge_N]), device)
    log_probs = iter(
        row[:n].tolist() for row, n in zip(log_probs_XT, length_X, strict=True)
    )
    return [[next(log_probs) for _ in sentence] for sentence in targets]

"""The best ways to go on: all that the search sees of whole vocabularies.

Shapes: S sentences, N rows (hypotheses, sentence by sentence), W most rows of a
sentence, C candidates of a sentence, V target vocabulary, G groups of ids.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from pipelines.model.frozen import VOCABULARY_MULTIPLE


@dataclass(frozen=True, slots=True)
class Live:
    """What a search asks of the next step, on the CPU."""

    log_prob_N: Tensor
    """float64, of each row so far."""
    widths: list[int]
    """Rows of each sentence, at least one; their sum is N."""
    banned: tuple[int, ...]
    """Words that may not be written."""


@dataclass(frozen=True, slots=True)
class Extensions:
    """The best candidates of each sentence: a row and its next word, by row and id."""

    row_SC: Tensor
    """int64, among all rows."""
    id_SC: Tensor
    """int64."""
    log_prob_SC: Tensor
    """Natural logarithm of the word's probability; -inf where there is no candidate."""
    eos_log_prob_N: Tensor
    """Of EOS after each row."""

    def fetch(self) -> "Extensions":
        """The same on the CPU, where the choice is made: one transfer, one wait."""
        if not self.row_SC.is_cuda:
            return self
        # Rows and ids below 2**24 are exact in float32.
        parts = self.row_SC, self.id_SC, self.log_prob_SC, self.eos_log_prob_N
        together = torch.cat([part.flatten().float() for part in parts]).cpu()
        row, word, log_prob, eos = torch.split(
            together, [part.numel() for part in parts]
        )
        shape = self.row_SC.shape
        return Extensions(
            row.long().view(shape), word.long().view(shape), log_prob.view(shape), eos
        )


def joined(parts: Sequence[Extensions]) -> Extensions:
    """Those of some sentences after those of others; all have as many places."""
    most = max(part.row_SC.shape[1] for part in parts)
    pads = [(0, most - part.row_SC.shape[1]) for part in parts]
    return Extensions(
        torch.cat([F.pad(p.row_SC, pad) for p, pad in zip(parts, pads, strict=True)]),
        torch.cat([F.pad(p.id_SC, pad) for p, pad in zip(parts, pads, strict=True)]),
        torch.cat(
            [
                F.pad(p.log_prob_SC, pad, value=-torch.inf)
                for p, pad in zip(parts, pads, strict=True)
            ]
        ),
        torch.cat([part.eos_log_prob_N for part in parts]),
    )


def best_extensions(
    values_NV: Tensor, shift_N: Tensor, widths: list[int], *, count: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The largest of all `values_NV + shift_N` of each sentence.

    Rows are folded into groups of 16 ids, id modulo G. The `count` largest values
    of a sentence lie in the `count` groups with the largest maxima, over all its rows.

    Args:
        values_NV: Log-probabilities, but for a constant of each row.
        shift_N: That constant, and what the row's hypothesis brings along.
        widths: Rows of each sentence.
        count: Candidates to find.

    Returns:
        Rows and ids, int64 [S, C], by row and id, and whether each is a candidate at
        all: a sentence may have fewer.
    """
    num_rows, num_ids = values_NV.shape
    device = values_NV.device
    width_S = torch.tensor(widths, device=device)
    first_S1 = (width_S.cumsum(0) - width_S)[:, None]
    most = max(widths)
    fold = VOCABULARY_MULTIPLE
    if num_ids % fold or most * num_ids // fold <= count:
        fold = 1
    num_groups = num_ids // fold
    folded = values_NV.view(num_rows, fold, num_groups)
    maxima_NG = (folded.amax(1) if fold > 1 else values_NV) + shift_N[:, None]
    grid_SWG = _by_sentence(maxima_NG, width_S, most)
    best = grid_SWG.flatten(1).topk(min(count, most * num_groups), sorted=False)
    possible_SC = best.values != -torch.inf
    row_SC = (first_S1 + best.indices // num_groups).where(possible_SC, first_S1)
    id_SC = best.indices % num_groups
    if fold > 1:
        member_F = torch.arange(fold, device=device)
        members_SCF = folded[row_SC[..., None], member_F, id_SC[..., None]]
        shift_SC = shift_N[row_SC].where(possible_SC, -torch.inf)
        members_SCF = members_SCF + shift_SC[..., None]
        best = members_SCF.flatten(1).topk(row_SC.shape[1], sorted=False)
        possible_SC = best.values != -torch.inf
        group_SC = best.indices // fold
        row_SC = row_SC.gather(1, group_SC)
        id_SC = best.indices % fold * num_groups + id_SC.gather(1, group_SC)
    order_SC = (row_SC * num_ids + id_SC).argsort(1)
    row_SC, id_SC, possible_SC = (
        each.gather(1, order_SC) for each in (row_SC, id_SC, possible_SC)
    )
    return row_SC, id_SC, possible_SC


def _by_sentence(values_NG: Tensor, width_S: Tensor, most: int) -> Tensor:
    """The rows of each sentence, [S, W, G], with -inf where it has fewer than W."""
    num_rows, num_groups = values_NG.shape
    num_sentences = len(width_S)
    if num_rows == num_sentences * most:
        return values_NG.view(num_sentences, most, num_groups)
    grid = values_NG.new_full((num_sentences * most, num_groups), -torch.inf)
    sentence_N = torch.arange(num_sentences, device=width_S.device).repeat_interleave(
        width_S, output_size=num_rows
    )
    before_N = (width_S.cumsum(0) - width_S)[sentence_N]
    slot_N = torch.arange(num_rows, device=width_S.device) - before_N
    grid[sentence_N * most + slot_N] = values_NG
    return grid.view(num_sentences, most, num_groups)

"""The best ways to go on: all that the search sees of whole vocabularies.

Shapes: S sentences, N rows (hypotheses, sentence by sentence), W most rows of a
sentence, C candidates of a sentence, V target vocabulary, G groups of ids.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from pipelines.data.batch import to_device
from pipelines.model.inference import VOCABULARY_MULTIPLE


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

    Rows are folded into groups of 16 ids, id modulo G. The `count` largest values of a
    sentence lie in the `count` groups with the largest maxima, over all its rows. Of
    equal ones the first are taken, by row, group and id: nothing depends on the
    sentences beside.

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
    width_S = to_device(torch.tensor(widths), device)
    first_S1 = (width_S.cumsum(0) - width_S)[:, None]
    most = max(widths)
    fold = 1 if num_ids % VOCABULARY_MULTIPLE else VOCABULARY_MULTIPLE
    num_groups = num_ids // fold
    folded = values_NV.view(num_rows, fold, num_groups)
    maxima_SWG = _by_sentence(folded.amax(1) + shift_N[:, None], width_S, most)
    places_M = torch.arange(most * num_groups, device=device)
    best = _largest(maxima_SWG.flatten(1), places_M, count=count)
    possible_SC = best.values != -torch.inf
    row_SC = (first_S1 + best.indices // num_groups).where(possible_SC, first_S1)
    group_SC = best.indices % num_groups
    member_F = torch.arange(fold, device=device)
    members_SCF = folded[row_SC[..., None], member_F, group_SC[..., None]]
    shift_SC = shift_N[row_SC].where(possible_SC, -torch.inf)
    places_SCF = best.indices[..., None] * fold + member_F
    best = _largest(
        (members_SCF + shift_SC[..., None]).flatten(1),
        places_SCF.flatten(1),
        count=count,
    )
    possible_SC = best.values != -torch.inf
    id_SC = best.indices % fold * num_groups + group_SC.gather(1, best.indices // fold)
    row_SC = row_SC.gather(1, best.indices // fold)
    order_SC = (row_SC * num_ids + id_SC).argsort(1)
    row_SC, id_SC, possible_SC = (
        each.gather(1, order_SC) for each in (row_SC, id_SC, possible_SC)
    )
    return row_SC, id_SC, possible_SC


def _largest(
    values_SM: Tensor, places_SM: Tensor, *, count: int
) -> torch.return_types.topk:
    """The largest float32 values; of equal ones, none above 0, those in first places.

    Neighbours in float32 lie 2^-24 of themselves apart, or more. In float64 there is
    room below that for 2^25 places.
    """
    values_SM = values_SM.double()
    keys_SM = values_SM.addcmul(values_SM, places_SM.double() + 1, value=2.0**-50)
    return keys_SM.topk(min(count, keys_SM.shape[1]), sorted=False)


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

"""Top-k over beam x vocabulary: all that a search sees of whole vocabularies.

Shapes: S sentences, N rows (hypotheses, sentence by sentence), W most rows of a
sentence, C candidates of a sentence, V target vocabulary, G groups of M ids each.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from pipelines.data.batch import to_device
from pipelines.model.inference import VOCABULARY_MULTIPLE


@dataclass(frozen=True, slots=True)
class LiveBeams:
    """The live hypotheses of each sentence, and what may follow them, on the CPU."""

    log_prob_N: Tensor
    """float64, of each row so far."""
    widths: list[int]
    """Rows of each sentence, at least one; their sum is N."""
    banned: tuple[int, ...]
    """Ids that may not follow."""


class TokenChoice(NamedTuple):
    """Chosen next tokens of each sentence, without their log-probabilities."""

    row_SC: Tensor
    """int64, among all rows."""
    id_SC: Tensor
    """int64."""
    possible_SC: Tensor
    """False where a sentence has fewer than C possible tokens."""


@dataclass(frozen=True, slots=True)
class NextTokens:
    """The candidates of each sentence, sorted by row and id: rows and next tokens."""

    row_SC: Tensor
    """int64, among all rows."""
    id_SC: Tensor
    """int64."""
    log_prob_SC: Tensor
    """Natural log-probability of the token; -inf where there is no candidate."""
    eos_log_prob_N: Tensor
    """Log-probability of EOS after each row."""

    def fetch(self) -> "NextTokens":
        """Copy to the CPU in one transfer."""
        if not self.row_SC.is_cuda:
            return self
        # Rows and ids below 2**24 are exact in float32.
        tensors = self.row_SC, self.id_SC, self.log_prob_SC, self.eos_log_prob_N
        flat = torch.cat([tensor.flatten().float() for tensor in tensors]).cpu()
        row, token, log_prob, eos = torch.split(
            flat, [tensor.numel() for tensor in tensors]
        )
        shape = self.row_SC.shape
        return NextTokens(
            row.long().view(shape), token.long().view(shape), log_prob.view(shape), eos
        )


def concatenate(blocks: Sequence[NextTokens]) -> NextTokens:
    """Concatenate the candidates of some sentences with those of the next ones.

    Sentences with fewer candidates than others are padded with impossible ones.
    """
    most = max(block.row_SC.shape[1] for block in blocks)

    def padded(tensor_SC: Tensor, value: float = 0.0) -> Tensor:
        return F.pad(tensor_SC, (0, most - tensor_SC.shape[1]), value=value)

    return NextTokens(
        torch.cat([padded(block.row_SC) for block in blocks]),
        torch.cat([padded(block.id_SC) for block in blocks]),
        torch.cat([padded(block.log_prob_SC, -torch.inf) for block in blocks]),
        torch.cat([block.eos_log_prob_N for block in blocks]),
    )


def beam_top_k(
    values_NV: Tensor, shift_N: Tensor, widths: list[int], *, count: int
) -> TokenChoice:
    """Choose the `count` largest of `values_NV + shift_N` among the rows of a sentence.

    A top-k in two levels. The ids of each row form G groups of M = 16 members (id
    modulo G). The `count` groups with the largest maxima hold the `count` largest
    values, so the second level looks at the members of these groups only.
    Ties are broken by a fixed order (row, group, id), independent of the rest of the
    batch.

    Args:
        values_NV: Log-probabilities up to a constant of each row.
        shift_N: That constant plus the log-probability of the row's hypothesis.
        widths: Rows of each sentence.
        count: Candidates of each sentence.

    Returns:
        The chosen tokens [S, C], sorted by row and id.
    """
    num_rows, num_ids = values_NV.shape
    group_size = 1 if num_ids % VOCABULARY_MULTIPLE else VOCABULARY_MULTIPLE
    values_NMG = values_NV.view(num_rows, group_size, num_ids // group_size)
    groups = _top_groups(values_NMG, shift_N, widths, count=count)
    tokens = _top_members(values_NMG, shift_N, groups, count=count)
    order_SC = (tokens.row_SC * num_ids + tokens.id_SC).argsort(1)
    return TokenChoice(*(tensor.gather(1, order_SC) for tensor in tokens))


def first_rows(width_S: Tensor) -> Tensor:
    """The first row of each sentence, given the numbers of rows."""
    return width_S.cumsum(0) - width_S


class _Groups(NamedTuple):
    """The groups of each sentence with the largest maxima."""

    row_SC: Tensor
    place_SC: Tensor
    """Row within the sentence x G + group: the order that breaks ties."""
    possible_SC: Tensor


def _top_groups(
    values_NMG: Tensor, shift_N: Tensor, widths: list[int], *, count: int
) -> _Groups:
    """First level: the `count` groups of each sentence with the largest maxima."""
    num_groups = values_NMG.shape[2]
    most = max(widths)
    width_S = to_device(torch.tensor(widths), values_NMG.device)
    maxima_SWG = _by_sentence(values_NMG.amax(1) + shift_N[:, None], width_S, most)
    places = torch.arange(most * num_groups, device=values_NMG.device)
    top = _top_k(maxima_SWG.flatten(1), places, count=count)
    possible_SC = top.values != -torch.inf
    first_row_S1 = first_rows(width_S)[:, None]
    row_SC = (first_row_S1 + top.indices // num_groups).where(possible_SC, first_row_S1)
    return _Groups(row_SC, top.indices, possible_SC)


def _top_members(
    values_NMG: Tensor, shift_N: Tensor, groups: _Groups, *, count: int
) -> TokenChoice:
    """Second level: the `count` largest among the members of the chosen groups."""
    _, group_size, num_groups = values_NMG.shape
    row_SC, place_SC, possible_SC = groups
    group_SC = place_SC % num_groups
    member_M = torch.arange(group_size, device=values_NMG.device)
    values_SCM = values_NMG[row_SC[..., None], member_M, group_SC[..., None]]
    shift_SC = shift_N[row_SC].where(possible_SC, -torch.inf)
    places_SCM = place_SC[..., None] * group_size + member_M
    top = _top_k(
        (values_SCM + shift_SC[..., None]).flatten(1),
        places_SCM.flatten(1),
        count=count,
    )
    chosen_group_SC, member_SC = top.indices // group_size, top.indices % group_size
    return TokenChoice(
        row_SC.gather(1, chosen_group_SC),
        member_SC * num_groups + group_SC.gather(1, chosen_group_SC),
        top.values != -torch.inf,
    )


def _top_k(
    values_SX: Tensor, places_SX: Tensor, *, count: int
) -> torch.return_types.topk:
    """Choose the largest float32 values, none above 0; ties go to the lower place.

    Distinct float32 values differ by at least 2^-24 of themselves. A share of
    (place + 1) * 2^-50 is added in float64, which reorders equal values only, as long
    as there are fewer than 2^25 places.
    """
    values_SX = values_SX.double()
    keys_SX = values_SX.addcmul(values_SX, places_SX.double() + 1, value=2.0**-50)
    return keys_SX.topk(min(count, keys_SX.shape[1]), sorted=False)


def _by_sentence(values_NG: Tensor, width_S: Tensor, most: int) -> Tensor:
    """Arrange rows by sentence, [S, W, G]; -inf where a sentence has fewer than W."""
    num_rows, num_groups = values_NG.shape
    num_sentences = len(width_S)
    if num_rows == num_sentences * most:
        return values_NG.view(num_sentences, most, num_groups)
    grid = values_NG.new_full((num_sentences * most, num_groups), -torch.inf)
    sentence_N = torch.arange(num_sentences, device=width_S.device).repeat_interleave(
        width_S, output_size=num_rows
    )
    slot_N = torch.arange(num_rows, device=width_S.device)
    slot_N -= first_rows(width_S)[sentence_N]
    grid[sentence_N * most + slot_N] = values_NG
    return grid.view(num_sentences, most, num_groups)

"""sacreBLEU's TER, several times as fast and equal to the last digit.

TER tries hundreds of shifts of a line and needs only the edit distance of each.
sacreBLEU fills a table of costs and operations in Python for every one; here the
distance comes from bit-parallel arithmetic, and sacreBLEU's table is filled only where
its operations are read.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pipelines.metrics.exact import Pattern

if TYPE_CHECKING:
    from sacrebleu.metrics.ter import TER


def fast_ter() -> "TER":
    """A metric that gives what sacreBLEU's own TER gives."""
    from sacrebleu.metrics import lib_ter
    from sacrebleu.metrics.ter import TER

    class FastTER(TER):
        """TER with another way to the edit distance."""

        def _compute_segment_statistics(
            self, hypothesis: str, ref_kwargs: dict[str, Any]
        ) -> list[float]:
            (words_ref,) = ref_kwargs["ref_words"]
            words_hyp = hypothesis.split()
            return [_count_edits(words_hyp, words_ref, lib_ter), len(words_ref)]

    FastTER.__name__ = TER.__name__
    return FastTER()


def _count_edits(words_hyp: list[str], words_ref: list[str], library: Any) -> int:
    """Shift words while that lowers the edit distance, as sacreBLEU does.

    Returns:
        The number of shifts and of the edits that are left.
    """
    if not words_ref:
        return len(words_hyp)
    distance = _Distance(words_ref, library)
    num_shifts = num_checked = 0
    while True:
        gain, shifted, num_checked = library._shift(
            words_hyp, words_ref, distance, num_checked
        )
        if gain <= 0 or num_checked >= library._MAX_SHIFT_CANDIDATES:
            return num_shifts + distance.to_beat
        num_shifts += 1
        words_hyp = shifted


class _Distance:
    """Stands for sacreBLEU's `BeamEditDistance` of one reference.

    sacreBLEU unpacks the result for the words it wants to shift, and reads only the
    distance, `[0]`, of each shift that it tries.
    """

    def __init__(self, words_ref: Sequence[str], library: Any) -> None:
        self.table = library.BeamEditDistance(words_ref)
        self.to_beat = 0
        """Distance of the words that are to be shifted."""
        self._pattern = Pattern(words_ref)
        self._num_ref = len(words_ref)
        self._beam_width = library._BEAM_WIDTH

    def __call__(self, words_hyp: list[str]) -> "_Result":
        """Distance and operations, none of which is computed yet."""
        return _Result(self, words_hyp)

    def of_shift(self, words_hyp: list[str]) -> int:
        """The distance; where it is no gain, perhaps less than sacreBLEU's.

        No cheapest path strays further than (distance + gap) / 2 from the diagonal of
        the table; where that leaves sacreBLEU's beam, it may find only a dearer one.
        """
        distance = self._pattern.distance(words_hyp)
        gap = abs(self._num_ref - len(words_hyp))
        if distance >= self.to_beat or (distance + gap) / 2 < self._beam_width - 1:
            return distance
        return int(self.table(words_hyp)[0])


class _Result:
    """Reads as the pair (distance, operations)."""

    __slots__ = ("_distance", "_words_hyp")

    def __init__(self, distance: _Distance, words_hyp: list[str]) -> None:
        self._distance, self._words_hyp = distance, words_hyp

    def __getitem__(self, index: int) -> int:
        assert index == 0, "operations are read by unpacking"
        return self._distance.of_shift(self._words_hyp)

    def __iter__(self) -> Iterator[object]:
        found = self._distance.table(self._words_hyp)
        self._distance.to_beat = found[0]
        yield from found

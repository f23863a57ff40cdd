"""Which token file each row of a run comes from, where several are mixed by weight.

Rows are numbered through the run: row r of a run with batches of b rows is row r mod b of step r // b. Row r comes from
the file whose next row is due first, where row j of a file of weight w is due at (j + 1/2) / w. So the files of a step
follow from its number alone, and after r rows each file of weight w (all weights are 1 together) has had

    n = w r, within (1 + K w) / 2 rows, for K files,

and exactly w r after each whole cycle. (This is the order of seats by Webster's method.)
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import lcm

import numpy as np
import numpy.typing as npt


class Mixture:
    """Files of `lengths` tokens, one after another, with `weights` of which only the ratios matter."""

    def __init__(self, lengths: Sequence[int], weights: Sequence[Fraction]):
        self.lengths = np.array(lengths, dtype=np.int64)
        self.offsets = np.cumsum([0, *lengths[:-1]], dtype=np.int64)
        common = lcm(*(weight.denominator for weight in weights))
        self._parts = [int(weight * common) for weight in weights]
        self._cycle = sum(self._parts)
        apart = lcm(*self._parts)
        self._times = [apart // part for part in self._parts]

    def counts(self, rows: int) -> list[int]:
        """Return how many of the first rows come from each file."""
        cycles, rest = divmod(rows, self._cycle)
        number = len(self._parts)
        counts = [max((part * (2 * rest - number) - self._cycle) // (2 * self._cycle), 0) for part in self._parts]
        for source in self._order(counts, rest - sum(counts)):
            counts[source] += 1
        return [cycles * part + count for part, count in zip(self._parts, counts, strict=True)]

    def sources(self, first: int, rows: int) -> npt.NDArray[np.int64]:
        """Return the numbers of the files from which rows come, beginning with row `first`. Shape (rows,)."""
        return np.fromiter(self._order(self.counts(first), rows), dtype=np.int64, count=rows)

    def place(self, token: int) -> tuple[int, int]:
        """Return the file in which a token lies, and the token's number there, by its number in all files together."""
        source = int(np.searchsorted(self.offsets, token, "right")) - 1
        return source, token - int(self.offsets[source])

    def _order(self, counts: Sequence[int], rows: int) -> Iterator[int]:
        """Yield the files of the rows after those that are counted."""
        due = [
            ((2 * count + 1) * time, source)
            for source, (count, time) in enumerate(zip(counts, self._times, strict=True))
        ]
        heapq.heapify(due)
        for _ in range(rows):
            time, source = due[0]
            heapq.heapreplace(due, (time + 2 * self._times[source], source))
            yield source

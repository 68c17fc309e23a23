"""Addresses to the number of the stretch between two edges they lie in: compiled, asked once for every new flow.

Knows order only. Must not know networks, or why there is an edge. IPv4's stretches come first, then IPv6's.

    >>> intervals = Intervals([0x0A000000, 0x0B000000], [1 << 127])
    >>> [intervals.find(4, 0, value) for value in (0, 0x0A000000, 0x0B000000)], intervals.find(6, 1 << 63, 0)
    ([0, 1, 2], 4)
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

_LOW = (1 << 64) - 1


class Intervals:
    """`edges4` and `edges6`: first addresses of all stretches but those at 0, ascending."""

    def __init__(self, edges4: Sequence[int], edges6: Sequence[int]) -> None:
        # One word more than there are edges: an empty array has no memory to look at.
        self.lows4 = array("Q", [*edges4, 0])
        self.highs6 = array("Q", [*(edge >> 64 for edge in edges6), 0])
        self.lows6 = array("Q", [*(edge & _LOW for edge in edges6), 0])
        self.count4 = len(edges4)
        self.count6 = len(edges6)

    def find(self, version: int, high: int, low: int) -> int:
        """The stretch of an address of 128 bits (IPv4: `high` 0)."""
        first = 0
        if version == 4:
            last = self.count4
            while first < last:
                middle = (first + last) >> 1
                if self.lows4[middle] <= low:
                    first = middle + 1
                else:
                    last = middle
            return first
        last = self.count6
        while first < last:
            middle = (first + last) >> 1
            edge = self.highs6[middle]
            if edge < high or (edge == high and self.lows6[middle] <= low):
                first = middle + 1
            else:
                last = middle
        return self.count4 + 1 + first

"""Packets and bytes by address, for the few addresses with the most: a million of them take 80 MB.

Knows addresses as words. Must not know what is counted.

    >>> tally = Tally(seed=7, limit=1000)
    >>> tally.add(4, 0, 0x0A000005, 2, 120), tally.add(4, 0, 0x0A000006, 3, 180), tally.add(4, 0, 0x0A000005, 2, 120)
    (0, 0, 0)
    >>> [(str(address), packets, octets) for address, packets, octets in tally.most(1)]
    [('10.0.0.5', 4, 240)]
"""

from __future__ import annotations

from operator import itemgetter

from agent.datapath.flows import reserve
from agent.engine.pairs import Pairs
from agent.model.address import Address


class Tally:
    """Counts for up to `limit` addresses of each IP version; further ones are not counted."""

    def __init__(self, seed: int, limit: int) -> None:
        self.known4 = Pairs(seed, limit)
        self.known6 = Pairs(seed, limit)
        self.counts4 = reserve(2 * max(limit, 1))
        self.counts6 = reserve(2 * max(limit, 1))

    def add(self, version: int, high: int, low: int, packets: int, octets: int) -> int:
        """Count for an address of 128 bits (IPv4: `high` 0)."""
        if version == 4:
            number = self.known4.number(high, low)
            if number < 0:
                return 0
            self.counts4[2 * number] += packets
            self.counts4[2 * number + 1] += octets
        else:
            number = self.known6.number(high, low)
            if number < 0:
                return 0
            self.counts6[2 * number] += packets
            self.counts6[2 * number + 1] += octets
        return 0

    def most(self, count: int) -> list[tuple[Address, int, int]]:
        """(address, packets, bytes) of those with most packets, then bytes; of equal ones the first seen."""
        rows = self._rows(4, self.known4, self.counts4, count) + self._rows(6, self.known6, self.counts6, count)
        return sorted(rows, key=itemgetter(1, 2), reverse=True)[:count]

    def _rows(self, version: int, known: Pairs, counts: memoryview, count: int) -> list[tuple[Address, int, int]]:
        best = self._best(known.count, counts, count)
        return [(self._address(version, -last), packets, octets) for packets, octets, last in best]

    def _best(self, size: int, counts: memoryview, count: int) -> list[tuple[int, int, int]]:
        """(packets, bytes, -number) of the `count` highest of `size` counts; one pass, since there may be a million."""
        best: list[tuple[int, int, int]] = []
        full = False
        packets = octets = 0  # of the last of the best
        for number in range(size):
            if full and counts[2 * number] < packets:
                continue
            if full and counts[2 * number] == packets and counts[2 * number + 1] <= octets:
                continue
            best.append((counts[2 * number], counts[2 * number + 1], -number))
            best.sort(reverse=True)
            del best[count:]
            full = len(best) == count
            packets, octets, _ = best[len(best) - 1]
        return best

    def _address(self, version: int, number: int) -> Address:
        known = self.known4 if version == 4 else self.known6
        wide = known.first(number)
        return Address(version, wide << 64 | known.second(number))

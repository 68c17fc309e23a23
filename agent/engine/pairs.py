"""Small numbers for pairs of 64-bit words, in order of first sight: a dictionary without Python objects.

Knows hashing and growth. Must not know what the words mean. The hash is seeded, since packets choose some words.

    >>> pairs = Pairs(seed=7, limit=2)
    >>> pairs.number(5, 6), pairs.number(5, 7), pairs.number(5, 6), pairs.number(8, 8), pairs.find(5, 7)
    (0, 1, 0, -1, 1)
"""

from __future__ import annotations

from array import array

from agent.datapath.flows import reserve
from agent.model.seeds import splitmix64

M64 = 0xFFFFFFFFFFFFFFFF
K1 = 0x9E3779B97F4A7C15
M32 = 0xFFFFFFFF


class Pairs:
    """Up to `limit` pairs (fewer than 2^31)."""

    def __init__(self, seed: int, limit: int) -> None:
        secrets = [splitmix64(seed, number) for number in range(4)]
        self.secret0, self.secret1, self.secret2, self.secret3 = secrets
        self.limit = limit
        self.count = 0
        self.steps = 0
        """Places looked at beyond the first: what chosen words could make many of."""
        self.mask = 0
        self.index = array("I")
        self.words = reserve(2 * max(limit, 1))
        self._rehash(32)

    def number(self, first: int, second: int) -> int:
        """The pair's number, a new one if it has none yet; -1 if that would be one too many."""
        found = self.find(first, second)
        if found >= 0 or self.count >= self.limit:
            return found
        number = self.count
        if 2 * number > self.mask:
            self._rehash(2 * (self.mask + 1))
            self.find(first, second)  # `vacant` moved
        self.words[2 * number] = first
        self.words[2 * number + 1] = second
        self.index[self.vacant] = number + 1
        self.count = number + 1
        return number

    def find(self, first: int, second: int) -> int:
        """The pair's number, -1 if it has none."""
        place = self._hash(first, second) & self.mask
        while True:
            entry = self.index[place]
            if entry == 0:
                self.vacant = place
                return -1
            base = 2 * (entry - 1)
            if self.words[base] == first and self.words[base + 1] == second:
                return entry - 1
            self.steps += 1
            place = (place + 1) & self.mask

    def first(self, number: int) -> int:
        """The first word of a pair."""
        return self.words[2 * number]

    def second(self, number: int) -> int:
        """The second word of a pair."""
        return self.words[2 * number + 1]

    def clear(self) -> None:
        """Forget all pairs."""
        self.count = 0
        self._rehash(32)

    def _hash(self, first: int, second: int) -> int:
        """As FlowTable.hash, where the reason stands: each half word has a secret of its own."""
        value = (self.secret0 + (first & M32)) * ((self.secret1 + (first >> 32)) & M64)
        value += (self.secret2 + (second & M32)) * ((self.secret3 + (second >> 32)) & M64)
        value &= M64
        value = ((value ^ (value >> 32)) * K1) & M64
        return value >> 32

    def _rehash(self, places: int) -> int:
        self.index = array("I", [0]) * places
        self.mask = places - 1
        self.vacant = 0
        for number in range(self.count):
            place = self._hash(self.words[2 * number], self.words[2 * number + 1]) & self.mask
            while self.index[place]:
                place = (place + 1) & self.mask
            self.index[place] = number + 1
        return 0
